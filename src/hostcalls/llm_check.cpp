#include "hostcalls/llm_check.hpp"

#include <fmt/format.h>

namespace driftwood {
namespace {

constexpr const char* kForward = "dw_forward";
constexpr std::size_t kLogitsAlignment = 32;

// Bytes that the outputs of a pass take.
Result<std::uint64_t> logits_size(const dw_forward_desc& desc, std::uint32_t n_vocab) {
  const std::uint64_t row = std::uint64_t{n_vocab} * sizeof(float);
  switch (desc.outputs) {
    case DW_LOGITS_NONE: return 0;
    case DW_LOGITS_LAST: return row;
    case DW_LOGITS_ALL: return row * desc.n_tokens;
    case DW_LOGITS_TOP_K:
      if (desc.top_k < 1 || desc.top_k > DW_MAX_TOP_K || desc.top_k > n_vocab) {
        return fail(ErrorCode::invalid_argument,
                    fmt::format("The field \"top_k\" of dw_forward ({}) is not in 1 to {}.", desc.top_k,
                                n_vocab < DW_MAX_TOP_K ? n_vocab : DW_MAX_TOP_K));
      }
      return std::uint64_t{desc.top_k} * sizeof(dw_logit);
    default:
      return fail(ErrorCode::invalid_argument,
                  fmt::format("The field \"outputs\" of dw_forward ({}) is not one of 0 to {}.", desc.outputs,
                              DW_LOGITS_TOP_K));
  }
}

Outputs outputs_kind(std::uint32_t number) {
  switch (number) {
    case DW_LOGITS_LAST: return Outputs::last;
    case DW_LOGITS_ALL: return Outputs::all;
    case DW_LOGITS_TOP_K: return Outputs::top_k;
    default: return Outputs::none;
  }
}

}  // namespace

Result<dw_forward_desc> read_forward(const GuestMemory& memory, std::uint32_t offset) {
  return memory.read_sized<dw_forward_desc>({kForward, "desc"}, offset);
}

Result<CheckedForward> check_forward(const GuestMemory& memory, const dw_forward_desc& desc, std::uint32_t n_vocab) {
  CheckedForward checked;
  checked.model = desc.model;
  if (desc.flags != 0) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("The field \"flags\" of dw_forward ({:#x}) is not zero.", desc.flags));
  }
  if (desc.n_tokens < 1 || desc.n_tokens > DW_MAX_CTX) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("The field \"n_tokens\" of dw_forward ({}) is not in 1 to {}.", desc.n_tokens, DW_MAX_CTX));
  }
  const Argument context{kForward, "context"};
  const Argument tokens{kForward, "tokens"};
  const Argument logits{kForward, "logits"};
  DW_TRY_ASSIGN(checked.context, memory.range(context, desc.context, desc.context_bytes, DW_CONTEXT_ALIGNMENT));
  DW_TRY_ASSIGN(checked.tokens, memory.array<const Token>(tokens, desc.tokens, desc.n_tokens));
  for (std::size_t i = 0; i < checked.tokens.size(); ++i) {
    if (static_cast<std::uint32_t>(checked.tokens[i]) < n_vocab) continue;
    return fail(ErrorCode::invalid_argument,
                fmt::format("Token {} of dw_forward ({}) is not in the vocabulary (0 to {}).", i, checked.tokens[i],
                            std::int64_t{n_vocab} - 1));
  }
  checked.outputs = outputs_kind(desc.outputs);
  checked.top_k = desc.outputs == DW_LOGITS_TOP_K ? desc.top_k : 0;
  DW_TRY_ASSIGN(const std::uint64_t needed, logits_size(desc, n_vocab));
  if (needed == 0) return checked;
  if (desc.logits_bytes < needed) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("The field \"logits_bytes\" of dw_forward ({}) is too small for the outputs ({} bytes).",
                            desc.logits_bytes, needed));
  }
  DW_TRY_ASSIGN(checked.logits, memory.range(logits, desc.logits, needed, kLogitsAlignment));
  const NamedRange ranges[] = {
      {context, checked.context}, {tokens, {desc.tokens, checked.tokens.size_bytes()}}, {logits, checked.logits}};
  DW_TRY(check_disjoint(ranges));
  return checked;
}

Result<CheckedContextParams> check_context_params(const GuestMemory& memory, const char* call, std::uint32_t offset) {
  DW_TRY_ASSIGN(const dw_context_params params, memory.read_sized<dw_context_params>({call, "params"}, offset));
  if (params.n_ctx < 1 || params.n_ctx > DW_MAX_CTX) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("The field \"n_ctx\" of {} ({}) is not in 1 to {}.", call, params.n_ctx, DW_MAX_CTX));
  }
  if (params.kv_type != DW_TYPE_F16 && params.kv_type != DW_TYPE_Q8_0) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("The field \"kv_type\" of {} ({}) is neither f16 ({}) nor q8_0 ({}).", call, params.kv_type,
                            DW_TYPE_F16, DW_TYPE_Q8_0));
  }
  return CheckedContextParams{params.model, params.n_ctx, params.kv_type == DW_TYPE_F16 ? KvType::f16 : KvType::q8_0};
}

}  // namespace driftwood
