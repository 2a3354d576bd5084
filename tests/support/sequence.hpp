// A model, memory, and Contexts in it: what the tests of the forward pass stand on.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "device/device.hpp"
#include "llm/forward.hpp"
#include "support/value_of.hpp"

namespace driftwood::testing {

inline std::shared_ptr<const Model> open_model(const std::filesystem::path& path, Device& device) {
  return value_of(Model::open(path, device));
}

/// Memory with one Context at its start and room for logits after it.
class Sequence {
 public:
  Sequence(const Model& model, std::uint32_t n_ctx, KvType kv_type = KvType::f16, std::uint32_t max_rows = 1,
           std::uint32_t version = kContextVersion)
      : layout_(value_of(make_context_layout(model.hyperparameters(), n_ctx, kv_type, version))),
        n_vocab_(model.hyperparameters().n_vocab) {
    logits_.offset = align_up(layout_.size, page_size());
    logits_.size = std::size_t{max_rows} * n_vocab_ * sizeof(float);
    const std::size_t size = align_up(logits_.offset + logits_.size, page_size());
    region_ = value_of(Region::create({.reserve = size, .commit = size}));
    memory_ = value_of(model.device().import(*region_, {0, size}, Require::any));
    // Nothing may depend on what the memory held before: these bytes are NaNs, of f16 and of f32.
    std::fill_n(region_->data(), size, std::byte{0xff});
    if (auto done = init_context(context(), layout_, model.hash()); !done) {
      throw std::runtime_error(done.error().to_string());
    }
  }

  /// A sequence that begins as `parent` was when `image` was taken of it.
  Sequence(const Model& model, const Sequence& parent, std::shared_ptr<const Image> image)
      : layout_(parent.layout_), n_vocab_(parent.n_vocab_), logits_(parent.logits_) {
    const std::size_t size = image->size();
    region_ = value_of(Region::create_over(std::move(image), {.reserve = size, .commit = size}));
    memory_ = value_of(model.device().import(*region_, {0, size}, Require::any));
  }

  /// Seals the memory, and goes on over the Image.
  std::shared_ptr<const Image> freeze(const Model& model) {
    memory_ = Import();
    auto image = value_of(region_->seal());
    memory_ = value_of(model.device().import(*region_, {0, region_->size()}, Require::any));
    return image;
  }

  ForwardRequest request(std::span<const Token> tokens, Outputs outputs = Outputs::last) const {
    ForwardRequest request;
    request.memory = &memory_;
    request.context = {0, layout_.size};
    request.tokens = tokens;
    request.outputs = outputs;
    request.logits = logits_;
    return request;
  }

  /// Appends tokens; the logits of the last one, or of all. The span dies with the next run.
  std::span<const float> run(Forward& forward, std::span<const Token> tokens, Outputs outputs = Outputs::last) {
    if (auto done = forward.run(request(tokens, outputs)); !done) throw std::runtime_error(done.error().to_string());
    const std::size_t rows = outputs == Outputs::all ? tokens.size() : outputs == Outputs::last ? 1 : 0;
    return {reinterpret_cast<const float*>(region_->data() + logits_.offset), rows * n_vocab_};
  }

  std::span<std::byte> context() const { return region_->bytes().first(layout_.size); }
  /// Header and the rows of the tokens that are there.
  std::span<std::byte> used(std::uint32_t n_tokens) const {
    return region_->bytes().first(layout_.kv_offset + std::size_t{n_tokens} * layout_.token_stride);
  }
  std::byte* logits() const { return region_->data() + logits_.offset; }
  const ContextLayout& layout() const { return layout_; }

 private:
  ContextLayout layout_;
  std::uint32_t n_vocab_;
  ByteRange logits_;
  std::unique_ptr<Region> region_;
  Import memory_;  ///< goes before the Region, which it pins
};

inline std::vector<Token> random_tokens(std::size_t n, std::uint32_t n_vocab, std::uint64_t seed = 1) {
  std::vector<Token> tokens(n);
  std::uint64_t state = seed * 0x9E3779B97F4A7C15U + 1;
  for (Token& token : tokens) {
    state = state * 6364136223846793005U + 1442695040888963407U;
    token = static_cast<Token>((state >> 33) % n_vocab);
  }
  return tokens;
}

inline Token greedy(std::span<const float> logits) {
  return static_cast<Token>(std::ranges::max_element(logits) - logits.begin());
}

/// |a - b| / |b| over whole rows, in the Euclidean norm.
inline double relative_error(std::span<const float> a, std::span<const float> b) {
  double difference = 0;
  double norm = 0;
  for (std::size_t i = 0; i < b.size(); ++i) {
    difference += std::pow(double{a[i]} - b[i], 2);
    norm += std::pow(double{b[i]}, 2);
  }
  return std::sqrt(difference / norm);
}

/// The distance between the best logit and the second best, in root mean squares of the row.
inline double lead(std::span<const float> logits) {
  float best = -INFINITY;
  float second = -INFINITY;
  double squares = 0;
  for (const float logit : logits) {
    squares += double{logit} * logit;
    if (logit > best) {
      second = std::exchange(best, logit);
    } else {
      second = std::max(second, logit);
    }
  }
  return (best - second) / std::sqrt(squares / static_cast<double>(logits.size()));
}

inline std::vector<float> copy(std::span<const float> values) { return {values.begin(), values.end()}; }

}  // namespace driftwood::testing
