#include "llm/forward_job.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace driftwood {

namespace {

constexpr std::size_t kLogitsAlignment = 32;
constexpr std::size_t kContextAlignment = 4096;

Result<void> check_memory(const ForwardRequest& request) {
  if (request.memory == nullptr || !*request.memory) {
    return fail(ErrorCode::invalid_argument, "A forward pass needs the memory that its Context lies in.");
  }
  const std::size_t limit = request.memory->size();
  if (!request.context.within(limit)) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("The Context ({} bytes at {}) does not lie in memory ({} bytes).", request.context.size,
                            request.context.offset, limit));
  }
  if (!is_aligned(request.context.offset, kContextAlignment)) {
    return fail(ErrorCode::invalid_argument, fmt::format("The Context's place ({}) is not a multiple of {}.",
                                                         request.context.offset, kContextAlignment));
  }
  return {};
}

Result<void> check_room(std::span<const Token> tokens, const CheckedContext& context) {
  if (tokens.empty()) return fail(ErrorCode::invalid_argument, "A forward pass needs at least one token.");
  const std::uint32_t left = context.layout.n_ctx - context.n_tokens;
  if (tokens.size() > left) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("{} tokens do not fit: the Context holds {} of {}, so {} more can follow.", tokens.size(),
                            context.n_tokens, context.layout.n_ctx, left));
  }
  return {};
}

Result<void> check_tokens(std::span<const Token> tokens, std::uint32_t n_vocab) {
  const auto outside = std::ranges::find_if(
      tokens, [n_vocab](Token token) { return token < 0 || static_cast<std::uint32_t>(token) >= n_vocab; });
  if (outside != tokens.end()) {
    return fail(ErrorCode::invalid_argument, fmt::format("Token {} at position {} is outside the vocabulary (0 to {}).",
                                                         *outside, outside - tokens.begin(), n_vocab - 1));
  }
  return {};
}

/// Bytes of logits that a request asks for.
std::size_t logits_size(const ForwardRequest& request, std::uint32_t n_vocab) noexcept {
  const std::size_t row = std::size_t{n_vocab} * sizeof(float);
  switch (request.outputs) {
    case Outputs::none: return 0;
    case Outputs::last: return row;
    case Outputs::all: return row * request.tokens.size();
    case Outputs::top_k: return std::size_t{request.top_k} * sizeof(TokenLogit);
  }
  return 0;
}

Result<void> check_logits(const ForwardRequest& request, std::uint32_t n_vocab) {
  if (request.outputs == Outputs::none) return {};
  if (request.outputs == Outputs::top_k && (request.top_k == 0 || request.top_k > n_vocab)) {
    return fail(
        ErrorCode::invalid_argument,
        fmt::format("The number of logits wanted (top_k {}) must lie between 1 and {}.", request.top_k, n_vocab));
  }
  const std::size_t needed = logits_size(request, n_vocab);
  if (request.logits.size < needed) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("The logits take {} bytes; the range given has {}.", needed, request.logits.size));
  }
  if (!request.logits.within(request.memory->size())) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("The logits ({} bytes at {}) do not lie in memory ({} bytes).", request.logits.size,
                            request.logits.offset, request.memory->size()));
  }
  if (!is_aligned(request.logits.offset, kLogitsAlignment)) {
    return fail(ErrorCode::invalid_argument, fmt::format("The logits' place ({}) is not a multiple of {}.",
                                                         request.logits.offset, kLogitsAlignment));
  }
  if (request.logits.overlaps(request.context)) {
    return fail(ErrorCode::invalid_argument, "The logits lie in the Context.");
  }
  return {};
}

}  // namespace

Result<void> ForwardJob::start(const Model& model) {
  DW_TRY(check_memory(*request_));
  n_vocab_ = model.hyperparameters().n_vocab;
  DW_TRY_ASSIGN(context_, check_context(context_bytes(), model.hyperparameters(), model.hash()));
  DW_TRY(check_room(request_->tokens, context_));
  tokens_.assign(request_->tokens.begin(), request_->tokens.end());
  DW_TRY(check_tokens(tokens_, n_vocab_));
  return check_logits(*request_, n_vocab_);
}

std::span<std::byte> ForwardJob::context_bytes() const {
  return {request_->memory->host() + request_->context.offset, request_->context.size};
}

KvBinding ForwardJob::binding(std::uint32_t n) const {
  return {request_->memory, request_->context.offset, context_.layout, context_.n_tokens + done_, n};
}

std::uint32_t ForwardJob::n_outputs(std::uint32_t n) const noexcept {
  switch (request_->outputs) {
    case Outputs::none: return 0;
    case Outputs::all: return n;
    case Outputs::last:
    case Outputs::top_k: return n == left() ? 1 : 0;
  }
  return 0;
}

std::size_t ForwardJob::logits_offset() const noexcept {
  const std::size_t rows_before = request_->outputs == Outputs::all ? done_ : 0;
  return request_->logits.offset + rows_before * n_vocab_ * sizeof(float);
}

void ForwardJob::advance(std::uint32_t n) {
  done_ += n;
  piece_ = layers_done_ = 0;
  if (request_->progress) request_->progress(done_, done_ + left());
}

void ForwardJob::advance_layers(std::uint32_t n, std::uint32_t end) noexcept {
  piece_ = n;
  layers_done_ = end;
}

void ForwardJob::commit() { set_context_tokens(context_bytes(), context_.n_tokens + done_); }

void ForwardJob::fail_cancelled() {
  fail({ErrorCode::cancelled,
        fmt::format("The forward pass was cancelled after {} of {} tokens.", done_, done_ + left()),
        {}});
}

}  // namespace driftwood
