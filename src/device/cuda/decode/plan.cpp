#include "device/cuda/decode/plan.hpp"

#include <fmt/format.h>
#include <ggml-backend.h>

#include <algorithm>

#include "core/bytes.hpp"
#include "device/cuda/decode/pack.hpp"

namespace driftwood::cuda {
namespace {

constexpr std::size_t kPlaceAlignment = 256;

/// A weight's bytes in the host's memory.
class HostRows {
 public:
  explicit HostRows(const ggml_tensor* tensor) : row_bytes_(tensor->nb[1]), bytes_(ggml_nbytes(tensor)) {
    ggml_backend_tensor_get(tensor, bytes_.data(), 0, bytes_.size());
  }
  const std::byte* row(std::size_t index) const { return bytes_.data() + index * row_bytes_; }

 private:
  std::size_t row_bytes_;
  std::vector<std::byte> bytes_;
};

std::span<const std::uint8_t> as_bytes(std::span<const float> values) {
  return {reinterpret_cast<const std::uint8_t*>(values.data()), values.size_bytes()};
}

Result<const float*> place_vector(const ggml_tensor* vector, const PlaceBytes& place) {
  std::vector<float> values(static_cast<std::size_t>(ggml_nelements(vector)));
  ggml_backend_tensor_get(vector, values.data(), 0, values.size() * sizeof(float));
  DW_TRY_ASSIGN(const std::uint8_t* at, place(as_bytes(values)));
  return reinterpret_cast<const float*>(at);
}

Result<PackedTiles> place_rows(const RowList& list, const PlaceBytes& place) {
  const PackedFormat format = *packed_format(list.type);
  std::vector<std::uint8_t> packed(packed_bytes(format, list.rows.size(), list.n_columns));
  pack(list, packed);
  PackedTiles tiles{.format = format};
  DW_TRY_ASSIGN(tiles.bytes, place(packed));
  tiles.n_groups = padded(list.n_columns) / kGroupColumns;
  tiles.n_tiles = static_cast<int>((list.rows.size() + kTileRows - 1) / kTileRows);
  return tiles;
}

RowList empty_list(const ggml_tensor* weight) {
  return {.type = weight->type, .n_columns = static_cast<int>(weight->ne[0]), .rows = {}};
}

Result<PackedTiles> place_matrix(const ggml_tensor* weight, const PlaceBytes& place) {
  const HostRows source(weight);
  RowList list = empty_list(weight);
  for (std::int64_t i = 0; i < weight->ne[1]; ++i) list.rows.push_back(source.row(static_cast<std::size_t>(i)));
  return place_rows(list, place);
}

/// Heads' rows in the order in which a rope's pairs follow one another.
void add_heads(RowList& list, const HostRows& source, std::uint32_t n_heads, const DecoderModel& model, bool turned) {
  for (std::uint32_t head = 0; head < n_heads; ++head) {
    for (std::uint32_t i = 0; i < model.head_dim; ++i) {
      std::uint32_t dim = i;
      if (turned && model.rope_neox && i < model.rope_dims) dim = i / 2 + i % 2 * (model.rope_dims / 2);
      list.rows.push_back(source.row(std::size_t{head} * model.head_dim + dim));
    }
  }
}

Result<PackedTiles> place_qkv(const DecoderModel& model, const DecoderLayer& layer, const PlaceBytes& place) {
  const HostRows q(layer.q);
  const HostRows k(layer.k);
  const HostRows v(layer.v);
  RowList list = empty_list(layer.q);
  add_heads(list, q, model.n_head, model, true);
  add_heads(list, k, model.n_head_kv, model, true);
  add_heads(list, v, model.n_head_kv, model, false);
  return place_rows(list, place);
}

Result<PackedTiles> place_gate_up(const DecoderModel& model, const DecoderLayer& layer, const PlaceBytes& place) {
  const HostRows gate(layer.gate);
  const HostRows up(layer.up);
  RowList list = empty_list(layer.gate);
  for (std::uint32_t i = 0; i < model.n_ff; ++i) {
    list.rows.push_back(gate.row(i));
    list.rows.push_back(up.row(i));
  }
  return place_rows(list, place);
}

Result<void> check_matrix(const ggml_tensor* weight) {
  if (packed_format(weight->type)) return {};
  return fail(ErrorCode::unsupported, fmt::format("The fused decoder has no form for weights of type {} ({}).",
                                                  ggml_type_name(weight->type), ggml_get_name(weight)));
}

Result<void> check_layer(const DecoderLayer& layer) {
  for (const ggml_tensor* weight : {layer.q, layer.attn_output, layer.gate, layer.down}) DW_TRY(check_matrix(weight));
  // Packed as one, they must be of one type.
  for (const ggml_tensor* weight : {layer.k, layer.v, layer.up}) {
    const ggml_type expected = weight == layer.up ? layer.gate->type : layer.q->type;
    if (weight->type != expected) {
      return fail(ErrorCode::unsupported,
                  fmt::format("The fused decoder takes {} only in the type of its neighbours ({}), and it is {}.",
                              ggml_get_name(weight), ggml_type_name(expected), ggml_type_name(weight->type)));
    }
  }
  return {};
}

std::size_t placed(std::size_t bytes) { return align_up(bytes, kPlaceAlignment); }

std::size_t matrix_bytes(const ggml_tensor* like, std::size_t n_rows) {
  return placed(packed_bytes(*packed_format(like->type), n_rows, static_cast<int>(like->ne[0])));
}

}  // namespace

Result<void> check_decodable(const DecoderModel& model) {
  const std::uint32_t group = model.n_head / model.n_head_kv;
  if ((model.head_dim != 64 && model.head_dim != 128) || group > 8 || group == 5) {
    return fail(ErrorCode::unsupported, fmt::format("The fused decoder takes heads of 64 or 128 elements in groups of "
                                                    "1 to 4 and 6 to 8, not of {} in groups of {}.",
                                                    model.head_dim, group));
  }
  if (model.n_embd % kTileRows != 0 || model.n_ff % kTileRows != 0) {
    return fail(ErrorCode::unsupported, fmt::format("The fused decoder takes widths that are multiples of {}, not {} "
                                                    "and {}.",
                                                    kTileRows, model.n_embd, model.n_ff));
  }
  for (const DecoderLayer& layer : model.layers) DW_TRY(check_layer(layer));
  DW_TRY(check_matrix(model.token_embd));
  return check_matrix(model.output);
}

std::size_t plan_bytes(const DecoderModel& model) {
  std::size_t bytes = matrix_bytes(model.token_embd, model.n_vocab);
  if (model.output != model.token_embd) bytes += matrix_bytes(model.output, model.n_vocab);
  const std::size_t norm = placed(model.n_embd * sizeof(float));
  bytes += placed(model.rope_frequencies.size() * sizeof(float)) + norm;
  for (const DecoderLayer& layer : model.layers) {
    bytes += matrix_bytes(layer.q, std::size_t{model.n_head + 2 * model.n_head_kv} * model.head_dim);
    bytes += matrix_bytes(layer.attn_output, model.n_embd) + matrix_bytes(layer.down, model.n_embd);
    bytes += matrix_bytes(layer.gate, 2 * std::size_t{model.n_ff}) + 2 * norm;
  }
  return bytes;
}

Result<StepPlan> make_plan(const DecoderModel& model, const PlaceBytes& place) {
  StepPlan plan;
  StepModel& step = plan.model;
  step.n_embd = static_cast<int>(model.n_embd);
  step.n_ff = static_cast<int>(model.n_ff);
  step.n_head = static_cast<int>(model.n_head);
  step.n_head_kv = static_cast<int>(model.n_head_kv);
  step.head_dim = static_cast<int>(model.head_dim);
  step.n_vocab = static_cast<int>(model.n_vocab);
  step.rope_dims = static_cast<int>(model.rope_dims);
  step.rope_neox = model.rope_neox;
  step.rope_scale = model.rope_scale;
  step.rope_magnitude = model.rope_magnitude;
  step.epsilon = model.norm_epsilon;
  step.attention_scale = model.attention_scale;
  step.embedding_scale = model.embedding_scale;
  step.row_bytes = model.row_bytes;
  step.token_stride = model.token_stride;
  DW_TRY_ASSIGN(const std::uint8_t* frequencies, place(as_bytes(model.rope_frequencies)));
  step.rope_frequencies = reinterpret_cast<const float*>(frequencies);
  DW_TRY_ASSIGN(step.embedding, place_matrix(model.token_embd, place));
  step.head = step.embedding;
  if (model.output != model.token_embd) {
    DW_TRY_ASSIGN(step.head, place_matrix(model.output, place));
  }

  plan.layers.resize(model.layers.size());
  const float** previous = &step.first_norm;
  for (std::size_t i = 0; i < plan.layers.size(); ++i) {
    const DecoderLayer& from = model.layers[i];
    StepLayer& layer = plan.layers[i];
    DW_TRY_ASSIGN(*previous, place_vector(from.attn_norm, place));
    previous = &layer.next_norm;
    DW_TRY_ASSIGN(layer.ffn_norm, place_vector(from.ffn_norm, place));
    DW_TRY_ASSIGN(layer.qkv, place_qkv(model, from, place));
    DW_TRY_ASSIGN(layer.attention_output, place_matrix(from.attn_output, place));
    DW_TRY_ASSIGN(layer.gate_up, place_gate_up(model, from, place));
    DW_TRY_ASSIGN(layer.down, place_matrix(from.down, place));
    layer.record_offset = static_cast<std::uint32_t>(2 * i) * model.row_bytes;
  }
  DW_TRY_ASSIGN(*previous, place_vector(model.output_norm, place));
  return plan;
}

}  // namespace driftwood::cuda
