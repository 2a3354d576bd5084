#include "context_scan.hpp"

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>
#include <optional>

#include "llm/context.hpp"

#ifndef DW_HOST
#define DW_HOST
#endif
#include "driftwood.h"

namespace driftwood::cli {
namespace {

std::optional<FoundContext> context_at(std::span<const std::byte> bytes, std::span<const KnownModel> models) {
  dw_context_header header;
  if (bytes.size() < sizeof header) return std::nullopt;
  std::memcpy(&header, bytes.data(), sizeof header);
  if (header.magic != DW_CONTEXT_MAGIC) return std::nullopt;
  if (header.version < kFirstContextVersion || header.version > kContextVersion) return std::nullopt;
  if (header.kv_type != DW_TYPE_F16 && header.kv_type != DW_TYPE_Q8_0) return std::nullopt;
  if (header.n_tokens > header.n_ctx || header.n_ctx == 0) return std::nullopt;
  FoundContext found;
  found.bytes = header.kv_offset + std::uint64_t{header.n_ctx} * header.token_stride;
  found.used_bytes = header.kv_offset + std::uint64_t{header.n_tokens} * header.token_stride;
  found.n_ctx = header.n_ctx;
  found.n_tokens = header.n_tokens;
  found.kv_offset = header.kv_offset;
  found.token_stride = header.token_stride;
  found.kv_type = header.kv_type == DW_TYPE_F16 ? "f16" : "q8_0";
  std::memcpy(found.model.bytes.data(), header.model_hash, sizeof header.model_hash);
  if (found.bytes > bytes.size()) return std::nullopt;
  if (const auto model = std::ranges::find(models, found.model, &KnownModel::hash); model != models.end()) {
    if (!check_context(bytes, model->hyperparameters, model->hash)) return std::nullopt;
    found.model_name = model->name;
    found.checked = true;
  }
  return found;
}

}  // namespace

std::vector<FoundContext> find_contexts(std::span<const std::byte> memory, std::span<const KnownModel> models) {
  std::vector<FoundContext> list;
  for (std::size_t offset = 0; offset < memory.size() && list.size() < kMostContexts; offset += DW_CONTEXT_ALIGNMENT) {
    auto found = context_at(memory.subspan(offset), models);
    if (!found) continue;
    found->offset = offset;
    list.push_back(*std::move(found));
  }
  return list;
}

Json context_json(const FoundContext& context) {
  return {{"offset", context.offset},
          {"bytes", context.bytes},
          {"used_bytes", context.used_bytes},
          {"kv_offset", context.kv_offset},
          {"token_stride", context.token_stride},
          {"n_ctx", context.n_ctx},
          {"n_tokens", context.n_tokens},
          {"kv_type", context.kv_type},
          {"model", {{"name", context.model_name}, {"sha256", context.model.to_hex()}}},
          {"checked", context.checked}};
}

}  // namespace driftwood::cli
