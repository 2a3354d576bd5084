// A Context's KV rows as the tensors of a safetensors file, and back, bit for bit.
//
//   tokens            I32 [n_tokens]                       where they are known
//   layers.L.key      F16 [n_tokens, n_head_kv, head_dim]  of each layer L, and layers.L.value the same
// and for a Context of q8_0, whose elements are scale * number, the scales of each 32 elements beside the numbers:
//   layers.L.key         I8 [n_tokens, n_head_kv, head_dim]
//   layers.L.key_scale  F16 [n_tokens, n_head_kv, head_dim / 32]
//
// Rope has been applied to the keys: token i stands at position i. docs/snapshots.md tells users, with the metadata.
// Any thread; the bytes of a Context belong to the caller.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "core/error.hpp"
#include "core/hash.hpp"
#include "model/hyperparameters.hpp"
#include "model/safetensors.hpp"

namespace driftwood {

/// The model that a Context is of.
struct KvModel {
  std::string name;
  Hash hash;
  Hyperparameters hyperparameters;
};

/// Takes the next bytes of a file.
using WriteBytes = std::function<Result<void>(std::span<const std::byte>)>;

/// Writes a Context as a safetensors file, front to end. `tokens` are those of its rows, or empty where they are not
/// known; `more` is added to the metadata. Fails as check_context does; invalid_argument: another number of tokens.
Result<void> write_kv_tensors(std::span<const std::byte> context, const KvModel& model,
                              std::span<const std::int32_t> tokens, const std::map<std::string, std::string>& more,
                              const WriteBytes& write);

/// What reading a file into a Context did.
struct KvChange {
  std::uint32_t n_tokens = 0;        ///< of the Context now
  std::uint32_t changed = 0;         ///< tokens, of these, whose rows were not the file's already
  std::vector<std::int32_t> tokens;  ///< of the rows, where the file says them
};

/// Makes a file's rows those of a Context; how many tokens there are follows from the shapes. Rows that are there
/// already are not written. Fails as check_context does, and before anything is changed with: corrupt: not a file of
/// KV rows, or of impossible ones; incompatible: of another model, KV type or version; invalid_argument: more tokens
/// than the Context holds. When the file cannot be read to its end, the Context is in part changed.
Result<KvChange> read_kv_tensors(const Safetensors& file, std::span<std::byte> context, const KvModel& model);

}  // namespace driftwood
