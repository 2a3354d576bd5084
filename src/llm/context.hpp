// A Context's place in linear memory: header, then one record for each token.
//
//   header (one alignment unit) | token 0 | token 1 | ... | token n_ctx - 1
//   token: layer 0 K row, V row | layer 1 K row, V row | ...      (token_stride bytes)
//
// A record is an odd number of cache lines of 64 bytes: one layer's rows of many tokens, which attention reads one
// after another, would fall into few sets of a cache if their distance were a multiple of a large power of two. Version
// 1 had records of any number of lines; such a Context is read, written and begun anew in its place.
//
// Pure arithmetic over untrusted bytes: the header in guest memory is read once
// into a checked copy, and nothing else of it is believed. Any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "core/error.hpp"
#include "core/hash.hpp"
#include "model/hyperparameters.hpp"

namespace driftwood {

inline constexpr std::uint32_t kFirstContextVersion = 1;
inline constexpr std::uint32_t kContextVersion = 2;  ///< of what is made now

enum class KvType : std::uint8_t { f16, q8_0 };

/// Everything about a Context that follows from a model, a KV type, a length and a version.
struct ContextLayout {
  std::uint32_t version = 0;
  KvType kv_type = KvType::f16;
  std::uint32_t n_ctx = 0;
  std::uint32_t n_layer = 0;
  std::uint32_t row_bytes = 0;     ///< one K row, or one V row, of one layer
  std::uint32_t token_stride = 0;  ///< from one token's rows to the next token's
  std::uint32_t kv_offset = 0;     ///< from the header to the first token's rows
  std::uint64_t size = 0;          ///< bytes in all, header included

  /// Bytes from a token's record to its K row of `layer`; the V row follows it.
  std::size_t layer_offset(std::uint32_t layer) const noexcept { return std::size_t{2} * row_bytes * layer; }
};

/// `version`: from kFirstContextVersion to kContextVersion. invalid_argument: n_ctx outside 1 .. 2^20; unsupported: a
/// row that is no multiple of q8_0's block.
Result<ContextLayout> make_context_layout(const Hyperparameters& model, std::uint32_t n_ctx, KvType kv_type,
                                          std::uint32_t version = kContextVersion);

/// A Context that passed its checks.
struct CheckedContext {
  ContextLayout layout;
  std::uint32_t n_tokens = 0;
};

/// Writes the header of an empty Context. `bytes` must hold layout.size.
Result<void> init_context(std::span<std::byte> bytes, const ContextLayout& layout, const Hash& model);
/// corrupt: not a Context or an impossible one; incompatible: of another model or version.
Result<CheckedContext> check_context(std::span<const std::byte> bytes, const Hyperparameters& hyperparameters,
                                     const Hash& model);
/// Sets the number of valid tokens of a Context that was checked before.
void set_context_tokens(std::span<std::byte> bytes, std::uint32_t n_tokens) noexcept;

}  // namespace driftwood
