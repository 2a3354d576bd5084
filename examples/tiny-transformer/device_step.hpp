// One step of the small transformer as op records, which the host's device runs over this guest's memory.
#pragma once

#include <cstdint>
#include <span>

#include "driftwood/block.hpp"
#include "driftwood/tensor.hpp"
#include "transformer.hpp"

namespace tiny {

class DeviceStep {
 public:
  /// Works on the model's weights and cache, which must outlive it.
  static driftwood::guest::Result<DeviceStep> create(const Transformer& model);

  /// The logits after `token` at `position`, valid until the next step. Fills the cache.
  driftwood::guest::Result<std::span<const float>> run(std::int32_t token, std::uint32_t position);

 private:
  using Tensor = driftwood::guest::Tensor;

  /// What one step writes besides the cache.
  struct Scratch {
    float state[kWidth];
    float normed[kWidth];
    float q[kWidth];
    float turned_q[kWidth];
    float k[kWidth];
    float attended[kWidth];
    float added[kWidth];
    float next[kWidth];
    float gate[kHidden];
    float activated[kHidden];
    float up[kHidden];
    float hidden[kHidden];
    float logits[kVocab];
    alignas(32) std::int32_t token;
    alignas(32) std::int32_t position;
  };

  DeviceStep(const Transformer& model, driftwood::guest::Block memory);
  Tensor row(float* data, std::uint32_t size) { return graph_.tensor(data, {size}); }
  Tensor norm(Tensor input, float* weights);
  Tensor attend(const Layer& layer, Tensor normed, std::uint32_t position);
  Tensor feed_forward(const Layer& layer, Tensor normed);

  const Transformer* model_;
  driftwood::guest::Block memory_;
  Scratch* scratch_;
  driftwood::guest::Graph graph_;
};

}  // namespace tiny
