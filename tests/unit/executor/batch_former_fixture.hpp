// A batch former on a machine whose time is reckoned, not measured.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "llm/executor/batch_former.hpp"
#include "unit/executor/counting_passes.hpp"
#include "unit/executor/requester.hpp"

namespace driftwood {

/// Passes of a machine that takes decode_us_ for decoded tokens and token_layer_us_ for each layer of a token of a
/// prompt.
class BatchFormerTest : public ::testing::Test {
 protected:
  using Clock = BatchFormer::Clock;

  /// The slices of the next pass among `requesters`, each by its tokens, and the piece that ended after it; those that
  /// have none left get others.
  std::map<const Requester*, std::uint32_t> pass(std::vector<Requester*> requesters) {
    std::vector<ForwardJob*> jobs;
    for (Requester* requester : requesters) {
      auto& job = jobs_[requester];
      if (!job || job->left() == 0) job = std::make_unique<ForwardJob>(requester->request);
      jobs.push_back(job.get());
    }
    const auto next = former_.next(jobs, now_);
    std::map<const Requester*, std::uint32_t> slices;
    pass_us_ = next.empty() ? 0 : decode_us_;
    for (const PassSlice& slice : next) {
      slices[of(slice.job)] = slice.n_tokens;
      if (slice.job->left() > kShortRequest) pass_us_ += token_layer_us_ * kLayers * slice.n_tokens;
      slice.job->advance(slice.n_tokens);
    }
    if (!next.empty()) former_.note(pass_us_);
    run_piece(slices);
    EXPECT_FALSE(slices.empty() && piece_us_ == 0) << "a pass of nothing";
    wait(pass_us_ + piece_us_);
    return slices;
  }
  /// Passes until some tokens have had all layers.
  std::map<const Requester*, std::uint32_t> passes(const std::vector<Requester*>& requesters) {
    for (std::uint32_t i = 0; i < kLayers; ++i) {
      if (auto slices = pass(requesters); !slices.empty()) return slices;
    }
    ADD_FAILURE() << "nothing ends";
    return {};
  }
  const Requester* of(const ForwardJob* job) const {
    return std::ranges::find(jobs_, job, [](const auto& entry) { return entry.second.get(); })->first;
  }
  /// Adds the piece's tokens where it ends.
  void run_piece(std::map<const Requester*, std::uint32_t>& slices) {
    piece_us_ = 0;
    const auto piece = former_.piece();
    if (!piece) return;
    ASSERT_GE(piece->n_layers, 1U);
    ASSERT_GE(piece->n_tokens, 1U);
    piece_us_ = token_layer_us_ * piece->n_tokens * piece->n_layers;
    const std::uint32_t end = piece->job->layers_done() + piece->n_layers;
    ASSERT_LE(end, kLayers);
    if (end != kLayers) {
      piece->job->advance_layers(piece->n_tokens, end);
    } else {
      slices[of(piece->job)] = piece->n_tokens;
      piece->job->advance(piece->n_tokens);
    }
    former_.note_piece(piece_us_);
  }
  static Clock::duration duration(double us) {
    return std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double, std::micro>(us));
  }
  void wait(double us) { now_ += duration(us); }
  /// How much later `decoder` has tokens beside `prompt`, as a part of what a pass takes: over some passes.
  double delay(Requester& decoder, Requester& prompt) {
    for (int i = 0; i < 20; ++i) pass({&decoder});
    for (int i = 0; i < 20; ++i) pass({&decoder, &prompt});
    double pieces = 0;
    for (int i = 0; i < 1000; ++i) {
      EXPECT_TRUE(pass({&decoder, &prompt}).contains(&decoder));
      pieces += piece_us_;
    }
    return pieces / (1000 * decode_us_);
  }

  BatchFormer former_{{.chunk = 512, .max_sequences = 8, .piece_layers = kLayers}};
  Clock::time_point now_{std::chrono::hours(1)};
  double decode_us_ = 10e3;
  double token_layer_us_ = 100;
  double pass_us_ = 0;   ///< of the last pass's slices
  double piece_us_ = 0;  ///< of its piece
  std::map<Requester*, std::unique_ptr<ForwardJob>> jobs_;
};

}  // namespace driftwood
