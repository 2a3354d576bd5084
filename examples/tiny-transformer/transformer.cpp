#include "transformer.hpp"

#include <algorithm>

#include "driftwood/random.hpp"

namespace tiny {
namespace {

using driftwood::guest::Block;
using driftwood::guest::Generator;

constexpr std::uint32_t kLayerFloats =
    2 * kWidth + 4 * kWidth * kWidth + 3 * kWidth * kHidden + 2 * kWidth * kPositions;

/// Hands out a block's floats piece by piece, filled.
struct Filler {
  float* next;
  Generator bits;

  float* random(std::uint32_t count, float spread) {
    for (std::uint32_t i = 0; i < count; ++i) {
      next[i] = (static_cast<float>(bits.below(1 << 20)) / (1 << 19) - 1) * spread;
    }
    return take(count);
  }
  float* constant(std::uint32_t count, float value) {
    std::fill_n(next, count, value);
    return take(count);
  }
  float* take(std::uint32_t count) {
    float* begin = next;
    next += count;
    return begin;
  }
};

}  // namespace

driftwood::guest::Result<Transformer> Transformer::create(std::uint64_t seed) {
  Transformer model;
  constexpr std::uint32_t kFloats = 2 * kVocab * kWidth + kWidth + kLayers * kLayerFloats;
  DW_TRY_ASSIGN(model.memory, Block::allocate(kFloats * sizeof(float), 4096));
  Filler fill = {model.memory.as<float>().data(), Generator::seeded(seed)};
  model.embedding = fill.random(kVocab * kWidth, 1);
  model.head = fill.random(kVocab * kWidth, 1);
  model.final_norm = fill.constant(kWidth, 1);
  for (Layer& layer : model.layers) {
    layer.attention_norm = fill.constant(kWidth, 1);
    layer.q = fill.random(kWidth * kWidth, 0.3F);
    layer.k = fill.random(kWidth * kWidth, 0.3F);
    layer.v = fill.random(kWidth * kWidth, 0.3F);
    layer.out = fill.random(kWidth * kWidth, 0.3F);
    layer.hidden_norm = fill.constant(kWidth, 1);
    layer.gate = fill.random(kWidth * kHidden, 0.3F);
    layer.up = fill.random(kWidth * kHidden, 0.3F);
    layer.down = fill.random(kWidth * kHidden, 0.3F);
    layer.k_cache = fill.constant(kWidth * kPositions, 0);
    layer.v_cache = fill.constant(kWidth * kPositions, 0);
  }
  return model;
}

}  // namespace tiny
