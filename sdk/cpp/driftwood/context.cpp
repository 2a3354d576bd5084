#include "driftwood/context.hpp"

#include <algorithm>
#include <cstring>

#include "driftwood/host.hpp"

namespace driftwood::guest {
namespace {

constexpr std::size_t kLogitsAlignment = 32;

Result<Block> allocate_context(std::uint64_t bytes) {
  DW_TRY_ASSIGN(const dw_info info, host_info());
  if (bytes > UINT32_MAX) {
    return fail(DW_E_OUT_OF_MEMORY,
                "The Context would take " + std::to_string(bytes) + " bytes; linear memory holds 4294967295 at most.");
  }
  return Block::allocate(bytes, std::max<std::size_t>(info.page_size, DW_CONTEXT_ALIGNMENT));
}

}  // namespace

Result<Block> allocate_logits(const Model& model) {
  return Block::allocate(std::uint64_t{model.n_vocab()} * sizeof(float), kLogitsAlignment);
}

Result<Context> Context::create(const Model& model, const ContextOptions& options) {
  Context context;
  context.params_ = {sizeof(dw_context_params), model.handle(), options.n_ctx, options.kv_type};
  std::uint64_t bytes = 0;
  DW_TRY(check(dw_context_size(&context.params_, &bytes)));
  DW_TRY_ASSIGN(context.block_, allocate_context(bytes));
  DW_TRY(check(dw_context_init(&context.params_, context.block_.data(), static_cast<std::uint32_t>(bytes))));
  context.tokens_.reserve(options.n_ctx);
  return context;
}

Result<void> Context::prefill(std::span<const Token> tokens) { return run(tokens, DW_LOGITS_NONE, {}, 0); }

Result<void> Context::forward(std::span<const Token> tokens, std::span<float> logits) {
  return run(tokens, DW_LOGITS_LAST, std::as_writable_bytes(logits), 0);
}

Result<void> Context::forward_top(std::span<const Token> tokens, std::span<dw_logit> top) {
  return run(tokens, DW_LOGITS_TOP_K, std::as_writable_bytes(top), static_cast<std::uint32_t>(top.size()));
}

Result<void> Context::forward_all(std::span<const Token> tokens, std::span<float> logits) {
  return run(tokens, DW_LOGITS_ALL, std::as_writable_bytes(logits), 0);
}

Result<void> Context::run(std::span<const Token> tokens, std::uint32_t outputs, std::span<std::byte> logits,
                          std::uint32_t top_k) {
  const dw_forward_desc desc = {.size = sizeof(dw_forward_desc),
                                .model = params_.model,
                                .context = block_.data(),
                                .context_bytes = static_cast<std::uint32_t>(block_.size()),
                                .tokens = tokens.data(),
                                .n_tokens = static_cast<std::uint32_t>(tokens.size()),
                                .outputs = outputs,
                                .top_k = top_k,
                                .logits = logits.data(),
                                .logits_bytes = static_cast<std::uint32_t>(logits.size()),
                                .flags = 0};
  DW_TRY(check(dw_forward(&desc)));
  tokens_.insert(tokens_.end(), tokens.begin(), tokens.end());
  return {};
}

Result<void> Context::truncate(std::uint32_t n_tokens) {
  if (n_tokens >= tokens_.size()) return {};
  DW_TRY(check(dw_truncate(params_.model, block_.data(), static_cast<std::uint32_t>(block_.size()), n_tokens)));
  tokens_.resize(n_tokens);
  return {};
}

Result<bool> Context::reconcile() {
  const auto* header = reinterpret_cast<const dw_context_header*>(block_.data());
  const std::uint32_t counted = header->n_tokens;
  if (counted == n_tokens()) return false;
  if (counted < n_tokens()) {
    tokens_.resize(counted);
    return true;
  }
  DW_TRY(check(dw_truncate(params_.model, block_.data(), static_cast<std::uint32_t>(block_.size()), n_tokens())));
  return true;
}

Result<Context> Context::copy() const {
  Context other;
  other.params_ = params_;
  DW_TRY_ASSIGN(other.block_, allocate_context(block_.size()));
  const auto* header = reinterpret_cast<const dw_context_header*>(block_.data());
  const std::size_t used = header->kv_offset + std::size_t{header->token_stride} * header->n_tokens;
  std::memcpy(other.block_.data(), block_.data(), used);
  other.tokens_.reserve(params_.n_ctx);
  other.tokens_ = tokens_;
  return other;
}

}  // namespace driftwood::guest
