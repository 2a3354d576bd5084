// A request on its way through the passes: checked, with how far it is.
//
// start() trusts nothing of what a guest wrote and copies what it checked. One thread at
// a time; the request's memory and what it names must outlive it.
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "core/error.hpp"
#include "llm/context.hpp"
#include "llm/forward_request.hpp"
#include "llm/graph/kv_access.hpp"
#include "model/model.hpp"

namespace driftwood {

class ForwardJob {
 public:
  explicit ForwardJob(const ForwardRequest& request) : request_(&request) {}

  /// Checks the request against its model and the Context as it is now. invalid_argument: a token outside the
  /// vocabulary, a full context (with how much is left), logits that do not fit; corrupt, incompatible: see
  /// check_context.
  Result<void> start(const Model& model);

  const ForwardRequest& request() const noexcept { return *request_; }
  bool cancelled() const noexcept {
    return request_->cancel != nullptr && request_->cancel->load(std::memory_order_relaxed);
  }
  /// Tokens that no pass has had yet.
  std::uint32_t left() const noexcept { return static_cast<std::uint32_t>(request_->tokens.size()) - done_; }
  std::uint32_t done() const noexcept { return done_; }

  // ---- of a job that was started ----

  /// The next `n` of its tokens, and where their rows go.
  std::span<const Token> next_tokens(std::uint32_t n) const { return std::span(tokens_).subspan(done_, n); }
  KvBinding binding(std::uint32_t n) const;
  /// How many of the next `n` tokens, at their end, have logits.
  std::uint32_t n_outputs(std::uint32_t n) const noexcept;
  /// Where the first of those logits go, in the request's memory.
  std::size_t logits_offset() const noexcept;

  /// A pass had the next `n` tokens.
  void advance(std::uint32_t n);
  /// Tokens of the piece that is on its way through the layers; 0: none.
  std::uint32_t piece() const noexcept { return piece_; }
  /// Layers that the piece has had.
  std::uint32_t layers_done() const noexcept { return layers_done_; }
  /// The next `n` tokens, as a piece, have had layers up to before number `end`; advance() ends the piece.
  void advance_layers(std::uint32_t n, std::uint32_t end) noexcept;
  /// Counts the tokens in the Context, once passes had them all.
  void commit();
  /// What the request ends with instead.
  void fail(Error error) { error_ = std::move(error); }
  void fail_cancelled();

  bool ended() const noexcept { return error_.has_value() || left() == 0; }
  Result<void> result() const { return error_ ? Result<void>(std::unexpected(*error_)) : Result<void>(); }

 private:
  std::span<std::byte> context_bytes() const;

  const ForwardRequest* request_;
  std::vector<Token> tokens_;  ///< the request's, copied: nothing can change them after the check
  CheckedContext context_;
  std::uint32_t n_vocab_ = 0;
  std::uint32_t done_ = 0;
  std::uint32_t piece_ = 0;
  std::uint32_t layers_done_ = 0;
  std::optional<Error> error_;
};

/// Some next tokens of a job, in a pass.
struct PassSlice {
  ForwardJob* job;
  std::uint32_t n_tokens;
};

/// Some next tokens of a job, and how many more layers they get now. With the last one the piece ends.
struct PassPiece {
  ForwardJob* job;
  std::uint32_t n_tokens;  ///< the same until the piece ends
  std::uint32_t n_layers;
  /// Once it is true, the run may end before those layers, also within one. Null: never.
  const std::atomic<bool>* yield = nullptr;
};

}  // namespace driftwood
