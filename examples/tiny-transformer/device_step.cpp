#include "device_step.hpp"

#include <cmath>
#include <utility>

namespace tiny {

using driftwood::guest::Block;
using driftwood::guest::Result;

Result<DeviceStep> DeviceStep::create(const Transformer& model) {
  DW_TRY_ASSIGN(Block memory, Block::allocate(sizeof(Scratch), 4096));
  return DeviceStep(model, std::move(memory));
}

DeviceStep::DeviceStep(const Transformer& model, Block memory)
    : model_(&model), memory_(std::move(memory)), scratch_(memory_.as<Scratch>().data()) {}

Result<std::span<const float>> DeviceStep::run(std::int32_t token, std::uint32_t position) {
  scratch_->token = token;
  scratch_->position = static_cast<std::int32_t>(position);
  graph_.clear();
  const Tensor embedding = graph_.tensor(model_->embedding, {kWidth, kVocab});
  const Tensor state = row(scratch_->state, kWidth);
  const Tensor next = row(scratch_->next, kWidth);
  graph_.get_rows(state, embedding, graph_.tensor(&scratch_->token, {1}));
  for (const Layer& layer : model_->layers) {
    graph_.plus(next, state, attend(layer, norm(state, layer.attention_norm), position));
    graph_.plus(state, next, feed_forward(layer, norm(next, layer.hidden_norm)));
  }
  const Tensor head = graph_.tensor(model_->head, {kWidth, kVocab});
  graph_.matmul(row(scratch_->logits, kVocab), head, norm(state, model_->final_norm));
  DW_TRY(graph_.run());
  return std::span<const float>(scratch_->logits);
}

DeviceStep::Tensor DeviceStep::norm(Tensor input, float* weights) {
  const Tensor plain = row(scratch_->added, kWidth);
  const Tensor normed = row(scratch_->normed, kWidth);
  graph_.rms_norm(plain, input, kEpsilon);
  graph_.times(normed, plain, row(weights, kWidth));
  return normed;
}

DeviceStep::Tensor DeviceStep::attend(const Layer& layer, Tensor normed, std::uint32_t position) {
  const auto heads = [&](float* data) { return graph_.tensor(data, {kHeadWidth, kHeads, 1}); };
  // [head width, tokens, heads] over rows that hold all heads of a token.
  const auto by_head = [&](float* data, std::uint32_t tokens) {
    constexpr std::uint32_t kFloat = sizeof(float);
    return graph_.view(data, DW_TYPE_F32, {kHeadWidth, tokens, kHeads},
                       {kFloat, kWidth * kFloat, kHeadWidth * kFloat, kWidth * tokens * kFloat});
  };
  float* const k_row = layer.k_cache + position * kWidth;
  float* const v_row = layer.v_cache + position * kWidth;
  const Tensor positions = graph_.tensor(&scratch_->position, {1});
  graph_.matmul(row(scratch_->q, kWidth), graph_.tensor(layer.q, {kWidth, kWidth}), normed);
  graph_.matmul(row(scratch_->k, kWidth), graph_.tensor(layer.k, {kWidth, kWidth}), normed);
  graph_.matmul(row(v_row, kWidth), graph_.tensor(layer.v, {kWidth, kWidth}), normed);
  graph_.rope(heads(scratch_->turned_q), heads(scratch_->q), positions, kHeadWidth, DW_ROPE_NEOX, kRopeBase);
  graph_.rope(heads(k_row), heads(scratch_->k), positions, kHeadWidth, DW_ROPE_NEOX, kRopeBase);

  const std::uint32_t n_kv = position + 1;
  graph_.attention(heads(scratch_->attended), by_head(scratch_->turned_q, 1), by_head(layer.k_cache, n_kv),
                   by_head(layer.v_cache, n_kv), {}, 1 / std::sqrt(static_cast<float>(kHeadWidth)));
  const Tensor added = row(scratch_->added, kWidth);
  graph_.matmul(added, graph_.tensor(layer.out, {kWidth, kWidth}), row(scratch_->attended, kWidth));
  return added;
}

DeviceStep::Tensor DeviceStep::feed_forward(const Layer& layer, Tensor normed) {
  const Tensor gate = row(scratch_->gate, kHidden);
  const Tensor activated = row(scratch_->activated, kHidden);
  const Tensor up = row(scratch_->up, kHidden);
  const Tensor hidden = row(scratch_->hidden, kHidden);
  const Tensor added = row(scratch_->added, kWidth);
  graph_.matmul(gate, graph_.tensor(layer.gate, {kWidth, kHidden}), normed);
  graph_.matmul(up, graph_.tensor(layer.up, {kWidth, kHidden}), normed);
  graph_.silu(activated, gate);
  graph_.times(hidden, activated, up);
  graph_.matmul(added, graph_.tensor(layer.down, {kHidden, kWidth}), hidden);
  return added;
}

}  // namespace tiny
