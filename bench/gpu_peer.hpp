// libllama on the GPU, with what it does best there: all layers and the KV cache on the card, flash attention, CUDA
// graphs, and the token picked by its own sampler on the card. One thread.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <vector>

#include "core/error.hpp"
#include "model/tokenizer.hpp"

namespace driftwood::bench {

class GpuPeerModel {
 public:
  static Result<std::shared_ptr<const GpuPeerModel>> load(const std::filesystem::path& path, int device);
  ~GpuPeerModel();
  struct State;
  const State& state() const noexcept { return *state_; }

 private:
  explicit GpuPeerModel(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

struct GpuPeerOptions {
  std::uint32_t n_ctx = 0;
  std::uint32_t n_ubatch = 512;
  std::uint32_t n_sequences = 1;
  bool picks = false;  ///< on the card; else logits come to the host
};

class GpuPeer {
 public:
  static Result<std::unique_ptr<GpuPeer>> create(std::shared_ptr<const GpuPeerModel> model,
                                                 const GpuPeerOptions& options);
  ~GpuPeer();

  /// Appends tokens to sequence 0 in one go; returns when the card is done. `look`: logits of the last one are wanted.
  Result<void> append(std::span<const Token> tokens, bool look = true);
  /// The token that follows, as the card or (without `picks`) this thread picked it.
  Result<Token> picked(std::uint32_t output = 0);
  std::span<const float> logits() const;
  /// Appends `n` tokens one by one, each the one picked before.
  Result<void> generate(Token first, std::uint32_t n);
  Result<void> rewind(std::uint32_t n);
  /// Gives all sequences the rows of sequence 0.
  Result<void> share();
  /// One token for each sequence; picks the next ones.
  Result<void> step(std::span<Token> tokens, std::uint32_t position);

  Result<void> get_state(std::span<std::uint8_t> into, std::size_t& size) const;
  std::size_t state_bytes() const;
  Result<void> set_state(std::span<const std::uint8_t> bytes);
  Result<void> save_state(const std::filesystem::path& file) const;
  Result<void> load_state(const std::filesystem::path& file);

 private:
  struct State;
  explicit GpuPeer(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace driftwood::bench
