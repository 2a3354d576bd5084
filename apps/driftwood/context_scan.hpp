// Finds Contexts (KV caches) in an actor's linear memory by what their headers say. Any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>
#include <vector>

#include "console.hpp"
#include "core/hash.hpp"
#include "llm/kv_tensors.hpp"

namespace driftwood::cli {

/// A model that Contexts are held to.
using KnownModel = KvModel;

struct FoundContext {
  std::uint64_t offset = 0;      ///< of its header in linear memory
  std::uint64_t bytes = 0;       ///< header included
  std::uint64_t used_bytes = 0;  ///< header and the rows of its tokens
  std::uint32_t n_ctx = 0;
  std::uint32_t n_tokens = 0;
  std::uint32_t kv_offset = 0;
  std::uint32_t token_stride = 0;
  std::string kv_type;  ///< f16 or q8_0
  Hash model;
  std::string model_name;  ///< empty: of none of the known ones
  bool checked = false;    ///< held to that model; otherwise only its header's numbers agree with each other

  friend bool operator==(const FoundContext&, const FoundContext&) = default;
};

/// No more are looked for: memory may be full of what looks like one.
inline constexpr std::size_t kMostContexts = 256;

/// The first kMostContexts places that hold a Context's header; one that cannot be a Context of its model, or reaches
/// out of memory, is left out. What a guest has freed may still look like one.
std::vector<FoundContext> find_contexts(std::span<const std::byte> memory, std::span<const KnownModel> models);

Json context_json(const FoundContext& context);

}  // namespace driftwood::cli
