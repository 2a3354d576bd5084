// Passes of a model without one: they only count.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <mutex>
#include <span>
#include <thread>
#include <utility>
#include <vector>

#include "llm/passes.hpp"

namespace driftwood {

inline constexpr std::uint32_t kLayers = 10;

/// Notes each pass's slices, and stands still in a pass as long as it is held.
class CountingPasses final : public Passes {
 public:
  struct Slice {
    const Import* memory;
    std::uint32_t n_tokens;
    bool operator==(const Slice&) const = default;
  };

  Result<void> start(ForwardJob& job) override {
    if (refused == job.request().memory) return fail(ErrorCode::corrupt, "Not a Context.");
    return {};
  }
  void run(std::span<const PassSlice> slices) override {
    std::vector<Slice> pass;
    for (const PassSlice& slice : slices) pass.push_back({slice.job->request().memory, slice.n_tokens});
    note(std::move(pass));
    for (const PassSlice& slice : slices) {
      if (failing == slice.job->request().memory) {
        slice.job->fail({ErrorCode::device_lost, "Gone.", {}});
      } else {
        slice.job->advance(slice.n_tokens);
      }
    }
  }
  /// Noted when it ends.
  void run(const PassPiece& piece) override {
    ForwardJob& job = *piece.job;
    // A job may lie where one lay before.
    EXPECT_EQ(on_its_way_, job.piece() == 0 ? nullptr : &job) << "two pieces at a time";
    EXPECT_TRUE(job.piece() == 0 || job.piece() == piece.n_tokens) << "another piece of the job";
    const std::uint32_t end = job.layers_done() + piece.n_layers;
    ASSERT_LE(end, kLayers);
    std::this_thread::sleep_for(layer_time * piece.n_layers);
    if (on_layers) on_layers(piece);
    on_its_way_ = nullptr;
    if (yields && piece.yield != nullptr && *piece.yield) {
      on_its_way_ = &job;
      return job.advance_layers(piece.n_tokens, job.layers_done());
    }
    if (failing == job.request().memory) return job.fail({ErrorCode::device_lost, "Gone.", {}});
    if (end != kLayers) on_its_way_ = &job;
    if (end != kLayers) return job.advance_layers(piece.n_tokens, end);
    note({{job.request().memory, piece.n_tokens}});
    job.advance(piece.n_tokens);
  }
  void give_up(const ForwardJob& job) noexcept override {
    EXPECT_EQ(on_its_way_, &job);
    on_its_way_ = nullptr;
  }

  void hold() {
    const std::lock_guard lock(mutex_);
    held_ = true;
    let_through_ = passes_.size();
  }
  void release() {
    const std::lock_guard lock(mutex_);
    held_ = false;
    changed_.notify_all();
  }
  /// Waits until that many passes have begun.
  void await(std::size_t n) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return passes_.size() >= n; });
  }
  std::vector<std::vector<Slice>> passes() const {
    const std::lock_guard lock(mutex_);
    return passes_;
  }

  const Import* refused = nullptr;
  const Import* failing = nullptr;
  std::function<void()> on_pass;
  std::function<void(const PassPiece&)> on_layers;
  std::chrono::microseconds layer_time{0};  ///< of a piece
  bool yields = false;                      ///< within the first of a piece's layers that it is asked to in

 private:
  void note(std::vector<Slice> pass) {
    std::unique_lock lock(mutex_);
    passes_.push_back(std::move(pass));
    changed_.notify_all();
    changed_.wait(lock, [this] { return !held_ || passes_.size() <= let_through_; });
    lock.unlock();
    if (on_pass) on_pass();
  }

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::vector<Slice>> passes_;
  const ForwardJob* on_its_way_ = nullptr;  ///< whose piece has had some layers
  bool held_ = false;
  std::size_t let_through_ = 0;
};

}  // namespace driftwood
