// libllama as a peer, driven natively with what it does best on host cores: a thread pool that lives as long as the
// context, weights repacked where it likes to, attention as the caller says. One thread.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <vector>

#include "core/error.hpp"
#include "model/tokenizer.hpp"

namespace driftwood::bench {

/// The weights, shared by contexts.
class PeerModel {
 public:
  static Result<std::shared_ptr<const PeerModel>> load(const std::filesystem::path& path);
  ~PeerModel();

  std::uint32_t n_vocab() const noexcept;

 private:
  friend class PeerContext;
  struct State;
  explicit PeerModel(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

struct PeerOptions {
  std::uint32_t n_ctx = 0;
  int threads = 1;
  bool flash_attention = true;
};

/// One sequence with its f16 KV cache.
class PeerContext {
 public:
  static Result<std::unique_ptr<PeerContext>> create(std::shared_ptr<const PeerModel> model,
                                                     const PeerOptions& options);
  ~PeerContext();

  /// Appends tokens in one batch; the logits of the last one, which die with the next call.
  Result<std::span<const float>> forward(std::span<const Token> tokens);
  /// Forgets the tokens from position `n` on.
  Result<void> rewind(std::uint32_t n);
  /// All of the context's state as bytes, as libllama saves it; into a buffer that is kept and back, and to a file.
  Result<void> get_state(std::vector<std::uint8_t>& bytes) const;
  Result<void> set_state(std::span<const std::uint8_t> bytes);
  Result<void> save_state(const std::filesystem::path& file) const;
  /// Stops the pool's threads from spinning, and lets them.
  void pause() noexcept;
  void resume() noexcept;

 private:
  struct State;
  explicit PeerContext(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace driftwood::bench
