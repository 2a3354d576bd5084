#include "llm/context.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <limits>

#include "core/bytes.hpp"

#ifndef DW_HOST
#define DW_HOST
#endif
#include "driftwood.h"

namespace driftwood {

namespace {

constexpr std::uint32_t kMaxContextTokens = std::uint32_t{1} << 20;
constexpr std::size_t kCacheLine = 64;
constexpr std::uint32_t kQ8Block = 32;       // elements
constexpr std::uint32_t kQ8BlockBytes = 34;  // one f16 scale, 32 int8

static_assert(DW_CONTEXT_ALIGNMENT >= sizeof(dw_context_header));
static_assert(DW_CONTEXT_VERSION == kContextVersion);

std::uint32_t kv_type_number(KvType type) noexcept { return type == KvType::f16 ? DW_TYPE_F16 : DW_TYPE_Q8_0; }

Result<std::uint64_t> row_bytes(const Hyperparameters& model, KvType type) {
  const std::uint64_t elements = std::uint64_t{model.n_head_kv} * model.head_dim;
  if (type == KvType::f16) return elements * sizeof(std::uint16_t);
  // Heads are read one by one, so each must begin on a block.
  if (model.head_dim % kQ8Block != 0) {
    return fail(ErrorCode::unsupported,
                fmt::format("A KV cache of type q8_0 needs heads of a multiple of {} elements; this model's have {}.",
                            kQ8Block, model.head_dim));
  }
  return elements / kQ8Block * kQ8BlockBytes;
}

Error corrupt_field(std::string_view field, std::uint64_t given, std::uint64_t expected) {
  return Error{ErrorCode::corrupt,
               fmt::format("The Context's header says {} {}, where it must be {}.", field, given, expected),
               {}};
}

}  // namespace

Result<ContextLayout> make_context_layout(const Hyperparameters& model, std::uint32_t n_ctx, KvType kv_type,
                                          std::uint32_t version) {
  DW_CHECK(version >= kFirstContextVersion && version <= kContextVersion);
  if (n_ctx == 0 || n_ctx > kMaxContextTokens) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("A Context's length ({} tokens) must lie between 1 and {}.", n_ctx, kMaxContextTokens));
  }
  DW_TRY_ASSIGN(const std::uint64_t row, row_bytes(model, kv_type));
  std::uint64_t stride = align_up(2 * row * model.n_layer, kCacheLine);
  if (version > 1 && stride / kCacheLine % 2 == 0) stride += kCacheLine;
  if (stride > std::numeric_limits<std::uint32_t>::max()) {
    return fail(ErrorCode::unsupported, fmt::format("One token's KV rows take {}, more than the 4 GiB that a Context "
                                                    "can describe.",
                                                    format_bytes(stride)));
  }
  ContextLayout layout;
  layout.version = version;
  layout.kv_type = kv_type;
  layout.n_ctx = n_ctx;
  layout.n_layer = model.n_layer;
  layout.row_bytes = static_cast<std::uint32_t>(row);
  layout.token_stride = static_cast<std::uint32_t>(stride);
  layout.kv_offset = DW_CONTEXT_ALIGNMENT;
  layout.size = layout.kv_offset + stride * n_ctx;
  return layout;
}

Result<void> init_context(std::span<std::byte> bytes, const ContextLayout& layout, const Hash& model) {
  if (bytes.size() < layout.size) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("The Context takes {} bytes; the range given has {}.", layout.size, bytes.size()));
  }
  dw_context_header header{};
  header.magic = DW_CONTEXT_MAGIC;
  header.version = layout.version;
  static_assert(sizeof(header.model_hash) == sizeof(model.bytes));
  std::memcpy(header.model_hash, model.bytes.data(), sizeof(header.model_hash));
  header.n_ctx = layout.n_ctx;
  header.kv_type = kv_type_number(layout.kv_type);
  header.n_layer = layout.n_layer;
  header.row_bytes = layout.row_bytes;
  header.token_stride = layout.token_stride;
  header.kv_offset = layout.kv_offset;
  std::memcpy(bytes.data(), &header, sizeof(header));
  return {};
}

Result<CheckedContext> check_context(std::span<const std::byte> bytes, const Hyperparameters& hyperparameters,
                                     const Hash& model) {
  dw_context_header header;
  if (bytes.size() < sizeof(header)) {
    return fail(ErrorCode::corrupt, fmt::format("A Context's header takes {} bytes; the range given has {}.",
                                                sizeof(header), bytes.size()));
  }
  // One read: what is checked below is what is used.
  std::memcpy(&header, bytes.data(), sizeof(header));

  if (header.magic != DW_CONTEXT_MAGIC) {
    return fail(ErrorCode::corrupt, fmt::format("There is no Context here: its first word is {:#010x}, not {:#010x}.",
                                                header.magic, DW_CONTEXT_MAGIC));
  }
  if (header.version < kFirstContextVersion || header.version > kContextVersion) {
    return fail(ErrorCode::incompatible, fmt::format("The Context is of version {}; this host reads versions {} to {}.",
                                                     header.version, kFirstContextVersion, kContextVersion));
  }
  Hash written_by;
  std::memcpy(written_by.bytes.data(), header.model_hash, sizeof(header.model_hash));
  if (written_by != model) {
    return fail(ErrorCode::incompatible,
                fmt::format("The Context is of the model {}, not of {}.", written_by.to_hex(), model.to_hex()));
  }
  if (header.kv_type != DW_TYPE_F16 && header.kv_type != DW_TYPE_Q8_0) {
    return fail(ErrorCode::corrupt,
                fmt::format("The Context's header says KV type {}, where it must be {} (f16) or {} (q8_0).",
                            header.kv_type, DW_TYPE_F16, DW_TYPE_Q8_0));
  }
  if (header.n_ctx == 0 || header.n_ctx > kMaxContextTokens) {
    return fail(ErrorCode::corrupt, fmt::format("The Context's header says a length of {} tokens, where it must lie "
                                                "between 1 and {}.",
                                                header.n_ctx, kMaxContextTokens));
  }
  const KvType type = header.kv_type == DW_TYPE_F16 ? KvType::f16 : KvType::q8_0;
  DW_TRY_ASSIGN(const ContextLayout layout, make_context_layout(hyperparameters, header.n_ctx, type, header.version));

  if (header.n_layer != layout.n_layer) {
    return std::unexpected(corrupt_field("a number of layers of", header.n_layer, layout.n_layer));
  }
  if (header.row_bytes != layout.row_bytes) {
    return std::unexpected(corrupt_field("a row size of", header.row_bytes, layout.row_bytes));
  }
  if (header.token_stride != layout.token_stride) {
    return std::unexpected(corrupt_field("a token stride of", header.token_stride, layout.token_stride));
  }
  if (header.kv_offset != layout.kv_offset) {
    return std::unexpected(corrupt_field("a KV offset of", header.kv_offset, layout.kv_offset));
  }
  if (std::ranges::any_of(header.reserved, [](std::uint32_t word) { return word != 0; })) {
    return fail(ErrorCode::corrupt, "The Context's header has reserved words that are not zero.");
  }
  if (header.n_tokens > header.n_ctx) {
    return fail(ErrorCode::corrupt, fmt::format("The Context's header says {} tokens, more than its length ({}).",
                                                header.n_tokens, header.n_ctx));
  }
  if (bytes.size() < layout.size) {
    return fail(ErrorCode::corrupt, fmt::format("A Context of {} tokens takes {} bytes; the range given has {}.",
                                                header.n_ctx, layout.size, bytes.size()));
  }
  return CheckedContext{layout, header.n_tokens};
}

void set_context_tokens(std::span<std::byte> bytes, std::uint32_t n_tokens) noexcept {
  DW_CHECK(bytes.size() >= sizeof(dw_context_header));
  std::memcpy(bytes.data() + offsetof(dw_context_header, n_tokens), &n_tokens, sizeof(n_tokens));
}

}  // namespace driftwood
