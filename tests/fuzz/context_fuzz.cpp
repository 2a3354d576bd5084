// Any bytes as a Context: the check ends in an error, or in a Context that lies within its bytes.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <span>
#include <vector>

#define DW_HOST
#include "driftwood.h"
#include "llm/context.hpp"

namespace {

using namespace driftwood;

Hyperparameters model(std::uint8_t choice) {
  Hyperparameters hyperparameters;
  hyperparameters.n_layer = 1U + choice % 4U;
  hyperparameters.n_head = 4;
  hyperparameters.n_head_kv = 1U + choice / 4U % 4U;
  hyperparameters.head_dim = 16U * (1U + choice / 16U % 4U);
  return hyperparameters;
}

void require(bool condition) {
  if (!condition) std::abort();
}

}  // namespace

/// The first byte chooses a model, the second what is put right before the check (so that the later checks are
/// reached), the third the size; then a header.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 3) return 0;
  const Hyperparameters hyperparameters = model(data[0]);
  const std::uint8_t repaired = data[1];
  std::vector<std::byte> bytes(std::size_t{data[2]} * 256);
  std::copy_n(reinterpret_cast<const std::byte*>(data) + 3, std::min(bytes.size(), size - 3), bytes.begin());
  const Hash hash = hash_bytes({});

  if ((repaired & 1U) != 0 && bytes.size() >= sizeof(dw_context_header)) {
    dw_context_header header;
    std::memcpy(&header, bytes.data(), sizeof(header));
    header.magic = DW_CONTEXT_MAGIC;
    header.version = (repaired & 4U) != 0 ? kFirstContextVersion : kContextVersion;
    std::memcpy(header.model_hash, hash.bytes.data(), sizeof(header.model_hash));
    const auto layout = make_context_layout(
        hyperparameters, header.n_ctx, header.kv_type == DW_TYPE_Q8_0 ? KvType::q8_0 : KvType::f16, header.version);
    if ((repaired & 2U) != 0 && layout) {
      header.n_layer = layout->n_layer;
      header.row_bytes = layout->row_bytes;
      header.token_stride = layout->token_stride;
      header.kv_offset = layout->kv_offset;
      std::memset(header.reserved, 0, sizeof(header.reserved));
    }
    std::memcpy(bytes.data(), &header, sizeof(header));
  }

  const auto checked = check_context(bytes, hyperparameters, hash);
  if (!checked) {
    require(!checked.error().message.empty());
    return 0;
  }
  const ContextLayout& layout = checked->layout;
  require(checked->n_tokens <= layout.n_ctx);
  require(layout.size <= bytes.size());
  require(layout.layer_offset(layout.n_layer) <= layout.token_stride);
  require(layout.kv_offset + std::uint64_t{layout.n_ctx} * layout.token_stride <= bytes.size());
  // What was accepted stays so when a token is added by the host.
  if (checked->n_tokens < layout.n_ctx) {
    set_context_tokens(bytes, checked->n_tokens + 1);
    require(check_context(bytes, hyperparameters, hash).has_value());
  }
  return 0;
}
