// The checks of the llm calls' structs: from untrusted bytes to values that are
// safe to use. Pure; any thread.
#pragma once

#include <cstdint>
#include <span>

#include "hostcalls/guest_abi.hpp"
#include "hostcalls/guest_memory.hpp"
#include "llm/context.hpp"
#include "llm/forward.hpp"

namespace driftwood {

struct CheckedForward {
  std::int32_t model = 0;  ///< as given: a handle, not looked up yet
  ByteRange context;
  std::span<const Token> tokens;
  Outputs outputs = Outputs::none;
  ByteRange logits;  ///< exactly what the outputs take; empty for none
  std::uint32_t top_k = 0;
};

/// The struct at `offset`: its size, and nothing else.
Result<dw_forward_desc> read_forward(const GuestMemory& memory, std::uint32_t offset);
/// Ranges, alignments, overlaps, the room for logits, and the tokens against a vocabulary of `n_vocab`.
/// The Context's own bytes are check_context's.
Result<CheckedForward> check_forward(const GuestMemory& memory, const dw_forward_desc& desc, std::uint32_t n_vocab);

/// Reads a dw_context_params; checks n_ctx and the KV type.
struct CheckedContextParams {
  std::int32_t model = 0;  ///< as given
  std::uint32_t n_ctx = 0;
  KvType kv_type = KvType::f16;
};
Result<CheckedContextParams> check_context_params(const GuestMemory& memory, const char* call, std::uint32_t offset);

}  // namespace driftwood
