// libllama with many sequences in one context, driven natively: its batched decode, with a greedy choice for each
// sequence. One thread.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/error.hpp"
#include "model/tokenizer.hpp"

namespace driftwood::bench {

struct PeerBatchOptions {
  std::uint32_t sequences = 1;
  std::uint32_t n_ctx = 0;  ///< tokens of all sequences
  int threads = 1;
  bool flash_attention = true;
  bool unified = false;  ///< one cache for all sequences, so that they may share cells
};

class PeerBatch {
 public:
  static Result<std::unique_ptr<PeerBatch>> create(const std::filesystem::path& model, const PeerBatchOptions& options);
  ~PeerBatch();

  const std::string& name() const noexcept;
  /// Appends tokens to one sequence, which has `n_past`: the token that follows.
  Result<Token> prefill(std::uint32_t sequence, std::span<const Token> tokens, std::uint32_t n_past);
  /// All other sequences go on from what the first one is.
  Result<void> copy_first();
  /// Every sequence forgets its tokens from position `n` on.
  Result<void> rewind(std::uint32_t n);
  /// Appends one token to each sequence, at position `n_past`: those that follow take their place.
  Result<void> step(std::span<Token> tokens, std::uint32_t n_past);
  void pause() noexcept;
  void resume() noexcept;

 private:
  struct State;
  explicit PeerBatch(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace driftwood::bench
