// A small transformer of random weights: its sizes, its weights, and one step in plain loops.
#pragma once

#include <cstdint>
#include <span>

#include "driftwood/block.hpp"

namespace tiny {

constexpr std::uint32_t kVocab = 64;
constexpr std::uint32_t kWidth = 64;
constexpr std::uint32_t kHeads = 4;
constexpr std::uint32_t kHeadWidth = kWidth / kHeads;
constexpr std::uint32_t kHidden = 128;
constexpr std::uint32_t kLayers = 2;
constexpr std::uint32_t kPositions = 32;
constexpr float kEpsilon = 1e-5F;
constexpr float kRopeBase = 10000;

/// One layer's arrays, all in the weights' block or the cache's. Matrices are [inputs, outputs], inputs along the row.
struct Layer {
  float* attention_norm;
  float* q;
  float* k;
  float* v;
  float* out;
  float* hidden_norm;
  float* gate;
  float* up;
  float* down;
  float* k_cache;  ///< [kWidth] for each position
  float* v_cache;
};

struct Transformer {
  driftwood::guest::Block memory;
  float* embedding = nullptr;  ///< [kWidth, kVocab]
  float* head = nullptr;       ///< [kWidth, kVocab]
  float* final_norm = nullptr;
  Layer layers[kLayers] = {};

  /// Weights from a seed, an empty cache.
  static driftwood::guest::Result<Transformer> create(std::uint64_t seed);
};

/// The logits after `token` at `position`, in plain loops: what the device's are compared with. Fills the cache.
void reference_step(const Transformer& model, std::int32_t token, std::uint32_t position, std::span<float> logits);

}  // namespace tiny
