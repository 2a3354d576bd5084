#include "hostcalls/tensor_rules.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace driftwood {
namespace {

// One op with its tensors looked up, as the rules see it.
struct Operands {
  const dw_op& record;
  std::size_t index;
  const char* name;
  const CheckedTensor* dst;
  std::array<const CheckedTensor*, 4> src;  ///< null where unused

  std::unexpected<Error> refuse(ErrorCode code, const std::string& what) const {
    return fail(code, fmt::format("Op {} of dw_tensor_run ({}): {}.", index, name, what));
  }
  std::unexpected<Error> refuse(const std::string& what) const { return refuse(ErrorCode::invalid_argument, what); }
};

using Shape = std::array<std::int64_t, 4>;

std::string show(const Shape& ne) { return fmt::format("[{}, {}, {}, {}]", ne[0], ne[1], ne[2], ne[3]); }
std::string type_name(const CheckedTensor& tensor) { return std::string(type_layout(tensor.type)->name); }
bool is_plain(std::uint32_t type) { return type == DW_TYPE_F32 || type == DW_TYPE_F16; }
bool is_weight(std::uint32_t type) { return type != DW_TYPE_I32; }

bool divides(std::int64_t part, std::int64_t whole) { return whole % part == 0; }

Result<void> need_shape(const Operands& op, const Shape& shape) {
  if (op.dst->ne == shape) return {};
  return op.refuse(fmt::format("dst has the shape {}, the result has {}", show(op.dst->ne), show(shape)));
}

Result<void> need_types(const Operands& op, bool fit) {
  if (fit) return {};
  std::string sources;
  for (const CheckedTensor* src : op.src) {
    if (src != nullptr) sources += (sources.empty() ? "" : ", ") + type_name(*src);
  }
  return op.refuse(ErrorCode::unsupported,
                   fmt::format("it does not take the types ({}) -> {}", sources, type_name(*op.dst)));
}

Result<void> need_contiguous(const Operands& op, const char* what, const CheckedTensor& tensor) {
  if (tensor.contiguous()) return {};
  return op.refuse(std::string(what) + " is not contiguous");
}

Result<void> need_finite(const Operands& op, std::size_t parameter, float lowest) {
  const float value = op.record.f[parameter];
  if (std::isfinite(value) && value >= lowest) return {};
  return op.refuse(fmt::format("f[{}] ({}) is not a finite number of at least {}", parameter, value, lowest));
}

Result<void> matmul_rule(const Operands& op) {
  const CheckedTensor& a = *op.src[0];
  const CheckedTensor& b = *op.src[1];
  DW_TRY(need_types(op, is_weight(a.type) && op.dst->type == DW_TYPE_F32 &&
                            (b.type == DW_TYPE_F32 || (b.type == DW_TYPE_F16 && a.type == DW_TYPE_F16))));
  if (a.ne[0] != b.ne[0] || !divides(a.ne[2], b.ne[2]) || !divides(a.ne[3], b.ne[3])) {
    return op.refuse(fmt::format("src 0 {} and src 1 {} cannot be multiplied", show(a.ne), show(b.ne)));
  }
  DW_TRY(need_shape(op, {a.ne[1], b.ne[1], b.ne[2], b.ne[3]}));
  if (op.dst->nb[1] > op.dst->nb[2] || op.dst->nb[2] > op.dst->nb[3]) return op.refuse("dst is permuted");
  return {};
}

Result<void> add_mul_rule(const Operands& op) {
  const CheckedTensor& a = *op.src[0];
  const CheckedTensor& b = *op.src[1];
  DW_TRY(need_types(op, op.dst->type == a.type && is_plain(a.type) && (b.type == a.type || b.type == DW_TYPE_F32)));
  for (std::size_t d = 0; d < 4; ++d) {
    if (!divides(b.ne[d], a.ne[d])) {
      return op.refuse(fmt::format("src 1 {} cannot be repeated to src 0 {}", show(b.ne), show(a.ne)));
    }
  }
  return need_shape(op, a.ne);
}

Result<void> rms_norm_rule(const Operands& op) {
  DW_TRY(need_types(op, op.src[0]->type == DW_TYPE_F32 && op.dst->type == DW_TYPE_F32));
  DW_TRY(need_finite(op, 0, 0.0F));
  return need_shape(op, op.src[0]->ne);
}

Result<void> rope_rule(const Operands& op) {
  const CheckedTensor& a = *op.src[0];
  const CheckedTensor& positions = *op.src[1];
  DW_TRY(need_types(op, is_plain(a.type) && op.dst->type == a.type && positions.type == DW_TYPE_I32));
  if (positions.ne != Shape{a.ne[2], 1, 1, 1}) {
    return op.refuse(fmt::format("src 1 {} is not one position for each of src 0's {}", show(positions.ne), a.ne[2]));
  }
  const std::int32_t dims = op.record.i[0];
  if (a.ne[0] % 2 != 0 || dims < 2 || dims % 2 != 0 || dims > a.ne[0]) {
    return op.refuse(
        fmt::format("i[0] ({}) is not an even number of dimensions in 2 to {}, of an even row", dims, a.ne[0]));
  }
  const std::int32_t kind = op.record.i[1];
  if (kind != DW_ROPE_NORMAL && kind != DW_ROPE_NEOX) {
    return op.refuse(fmt::format("i[1] ({}) is neither DW_ROPE_NORMAL nor DW_ROPE_NEOX", kind));
  }
  for (std::size_t parameter = 0; parameter < 2; ++parameter) {
    DW_TRY(need_finite(op, parameter, 0.0F));
    if (op.record.f[parameter] == 0.0F) return op.refuse(fmt::format("f[{}] (0) is not above 0", parameter));
  }
  return need_shape(op, a.ne);
}

Result<void> soft_max_rule(const Operands& op) {
  const CheckedTensor& a = *op.src[0];
  const CheckedTensor* mask = op.src[1];
  DW_TRY(need_types(
      op, a.type == DW_TYPE_F32 && op.dst->type == DW_TYPE_F32 && (mask == nullptr || mask->type == DW_TYPE_F32)));
  DW_TRY(need_contiguous(op, "src 0", a));
  DW_TRY(need_contiguous(op, "dst", *op.dst));
  DW_TRY(need_finite(op, 0, std::numeric_limits<float>::lowest()));
  if (mask != nullptr) {
    DW_TRY(need_contiguous(op, "src 1", *mask));
    if (mask->ne[0] != a.ne[0] || mask->ne[1] != a.ne[1] || !divides(mask->ne[2], a.ne[2]) ||
        !divides(mask->ne[3], a.ne[3])) {
      return op.refuse(fmt::format("the mask {} does not fit src 0 {}", show(mask->ne), show(a.ne)));
    }
  }
  return need_shape(op, a.ne);
}

Result<void> activation_rule(const Operands& op) {
  DW_TRY(need_types(op, is_plain(op.src[0]->type) && op.dst->type == op.src[0]->type));
  return need_shape(op, op.src[0]->ne);
}

Result<void> get_rows_rule(const Operands& op) {
  const CheckedTensor& rows = *op.src[0];
  const CheckedTensor& indices = *op.src[1];
  const std::uint32_t result = rows.type == DW_TYPE_I32 ? DW_TYPE_I32 : DW_TYPE_F32;
  DW_TRY(need_types(op, indices.type == DW_TYPE_I32 && op.dst->type == result));
  if (indices.ne[1] != rows.ne[2] || indices.ne[2] != rows.ne[3] || indices.ne[3] != 1) {
    return op.refuse(fmt::format("the indices {} do not fit src 0 {}", show(indices.ne), show(rows.ne)));
  }
  return need_shape(op, {rows.ne[0], indices.ne[0], indices.ne[1], indices.ne[2]});
}

Result<void> scale_rule(const Operands& op) {
  DW_TRY(need_types(op, op.src[0]->type == DW_TYPE_F32 && op.dst->type == DW_TYPE_F32));
  DW_TRY(need_contiguous(op, "src 0", *op.src[0]));
  DW_TRY(need_contiguous(op, "dst", *op.dst));
  DW_TRY(need_finite(op, 0, std::numeric_limits<float>::lowest()));
  DW_TRY(need_finite(op, 1, std::numeric_limits<float>::lowest()));
  return need_shape(op, op.src[0]->ne);
}

Result<void> attention_rule(const Operands& op) {
  const CheckedTensor& q = *op.src[0];
  const CheckedTensor& k = *op.src[1];
  const CheckedTensor& v = *op.src[2];
  const CheckedTensor* mask = op.src[3];
  DW_TRY(need_types(op, q.type == DW_TYPE_F32 && is_plain(k.type) && v.type == k.type && op.dst->type == DW_TYPE_F32 &&
                            (mask == nullptr || mask->type == DW_TYPE_F16)));
  if (k.ne != v.ne || q.ne[0] != k.ne[0] || !divides(k.ne[2], q.ne[2]) || q.ne[3] != k.ne[3]) {
    return op.refuse(fmt::format("q {}, k {} and v {} do not fit", show(q.ne), show(k.ne), show(v.ne)));
  }
  if (mask != nullptr) {
    DW_TRY(need_contiguous(op, "src 3", *mask));
    if (mask->ne[0] != k.ne[1] || mask->ne[1] != q.ne[1] || !divides(mask->ne[2], q.ne[2]) ||
        !divides(mask->ne[3], q.ne[3])) {
      return op.refuse(fmt::format("the mask {} does not fit q {} and k {}", show(mask->ne), show(q.ne), show(k.ne)));
    }
  }
  DW_TRY(need_finite(op, 0, std::numeric_limits<float>::lowest()));
  DW_TRY(need_finite(op, 1, 0.0F));
  DW_TRY(need_contiguous(op, "dst", *op.dst));
  return need_shape(op, {q.ne[0], q.ne[2], q.ne[1], q.ne[3]});
}

Result<void> copy_rule(const Operands& op) {
  const std::uint32_t from = op.src[0]->type;
  const std::uint32_t to = op.dst->type;
  DW_TRY(need_types(op, (is_plain(from) && is_plain(to)) || (from == DW_TYPE_I32 && to == DW_TYPE_I32)));
  return need_shape(op, op.src[0]->ne);
}

// Fields past the first n_i and n_f must be zero, and sources past max_src unused, so
// that a later version may give them a meaning.
struct OpRule {
  std::uint32_t op;
  const char* name;
  std::uint8_t min_src;
  std::uint8_t max_src;
  std::uint8_t n_i;
  std::uint8_t n_f;
  bool in_place;  ///< dst may be the very tensor that src 0 is
  Result<void> (*check)(const Operands& op);
};

constexpr OpRule kRules[] = {
    {DW_OP_MATMUL, "matmul", 2, 2, 0, 0, false, matmul_rule},
    {DW_OP_ADD, "add", 2, 2, 0, 0, true, add_mul_rule},
    {DW_OP_MUL, "mul", 2, 2, 0, 0, true, add_mul_rule},
    {DW_OP_RMS_NORM, "rms_norm", 1, 1, 0, 1, true, rms_norm_rule},
    {DW_OP_ROPE, "rope", 2, 2, 2, 2, true, rope_rule},
    {DW_OP_SOFT_MAX, "soft_max", 1, 2, 0, 1, true, soft_max_rule},
    {DW_OP_SILU, "silu", 1, 1, 0, 0, true, activation_rule},
    {DW_OP_GELU, "gelu", 1, 1, 0, 0, true, activation_rule},
    {DW_OP_GET_ROWS, "get_rows", 2, 2, 0, 0, false, get_rows_rule},
    {DW_OP_SCALE, "scale", 1, 1, 0, 2, true, scale_rule},
    {DW_OP_ATTENTION, "attention", 3, 4, 0, 2, false, attention_rule},
    {DW_OP_CPY, "cpy", 1, 1, 0, 0, false, copy_rule},
};

Result<void> check_unused(const Operands& op, const OpRule& rule) {
  for (std::size_t i = rule.n_i; i < 4; ++i) {
    if (op.record.i[i] != 0) return op.refuse(fmt::format("i[{}] ({}) is unused and not 0", i, op.record.i[i]));
  }
  for (std::size_t i = rule.n_f; i < 4; ++i) {
    if (!(op.record.f[i] == 0.0F)) return op.refuse(fmt::format("f[{}] ({}) is unused and not 0", i, op.record.f[i]));
  }
  return {};
}

// A result may lie where no source does; element by element it may also replace src 0.
Result<void> check_overlap(const Operands& op, const OpRule& rule) {
  for (std::size_t s = 0; s < op.src.size(); ++s) {
    const CheckedTensor* src = op.src[s];
    if (src == nullptr || !src->range.overlaps(op.dst->range)) continue;
    if (rule.in_place && s == 0 && *src == *op.dst) continue;
    return op.refuse(fmt::format("dst (offset {}, {} bytes) overlaps src {} (offset {}, {} bytes)",
                                 op.dst->range.offset, op.dst->range.size, s, src->range.offset, src->range.size));
  }
  return {};
}

}  // namespace

Result<CheckedOp> check_op(const dw_op& record, std::size_t index, std::span<const CheckedTensor> tensors) {
  const auto* rule =
      std::find_if(std::begin(kRules), std::end(kRules), [&](const OpRule& r) { return r.op == record.op; });
  if (rule == std::end(kRules)) {
    return fail(ErrorCode::unsupported,
                fmt::format("Op {} of dw_tensor_run ({}) is no DW_OP_* of this version.", index, record.op));
  }
  Operands op{record, index, rule->name, nullptr, {}};
  if (record.dst >= tensors.size()) {
    return op.refuse(fmt::format("dst ({}) is not one of the {} tensors", record.dst, tensors.size()));
  }
  op.dst = &tensors[record.dst];
  for (std::size_t s = 0; s < op.src.size(); ++s) {
    if (record.src[s] == DW_NO_TENSOR) {
      if (s < rule->min_src) return op.refuse(fmt::format("src {} is missing", s));
      continue;
    }
    if (s >= rule->max_src)
      return op.refuse(fmt::format("src {} ({}) is unused and not DW_NO_TENSOR", s, record.src[s]));
    if (record.src[s] >= tensors.size()) {
      return op.refuse(fmt::format("src {} ({}) is not one of the {} tensors", s, record.src[s], tensors.size()));
    }
    op.src[s] = &tensors[record.src[s]];
  }
  DW_TRY(check_unused(op, *rule));
  DW_TRY(rule->check(op));
  DW_TRY(check_overlap(op, *rule));

  CheckedOp checked;
  checked.op = record.op;
  checked.dst = record.dst;
  std::copy(std::begin(record.src), std::end(record.src), checked.src.begin());
  std::copy(std::begin(record.i), std::end(record.i), checked.i.begin());
  std::copy(std::begin(record.f), std::end(record.f), checked.f.begin());
  return checked;
}

std::uint64_t op_work(const CheckedOp& op, std::span<const CheckedTensor> tensors) {
  // Per result element of an op that is not a product: about what an exp or a cosine costs beside a multiply-add.
  constexpr std::uint64_t kElement = 16;
  const CheckedTensor& dst = tensors[op.dst];
  // Elements are at most 2^35 and a row at most 2^35, but their product may not be: count no higher than 2^62.
  const auto product = [](std::uint64_t a, std::uint64_t b) {
    return std::min<std::uint64_t>(checked_mul(a, b).value_or(UINT64_MAX), std::uint64_t{1} << 62);
  };
  switch (op.op) {
    case DW_OP_MATMUL: return product(dst.elements(), std::max<std::uint64_t>(tensors[op.src[0]].ne[0], kElement));
    case DW_OP_ATTENTION: {
      const CheckedTensor& q = tensors[op.src[0]];
      const std::uint64_t scores = product(q.elements() / static_cast<std::uint64_t>(q.ne[0]),
                                           static_cast<std::uint64_t>(tensors[op.src[1]].ne[1]));
      return product(scores, 2 * static_cast<std::uint64_t>(q.ne[0]) + kElement);
    }
    default: return product(dst.elements(), kElement);
  }
}

}  // namespace driftwood
