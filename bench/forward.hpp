// Who runs the model in the benchmark forward: Driftwood through a guest, and libllama. One thread.
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

struct ForwardSetup {
  std::filesystem::path model;
  int threads = 1;
  std::uint32_t n_ctx = 0;    ///< tokens that fit
  std::vector<Token> tokens;  ///< what is fed, by position; no longer than n_ctx
};

/// One side. Its KV cache is f16 and is kept between calls; the logits of the last token are there for the caller
/// after each one.
class Contender {
 public:
  virtual ~Contender() = default;
  const std::string& name() const noexcept { return name_; }

  /// Appends the first `n` tokens in one go, to an empty cache.
  virtual Result<void> prefill(std::uint32_t n) = 0;
  /// Appends `n` tokens one by one, from the one at position `first`, which is how many there are.
  virtual Result<void> decode(std::uint32_t first, std::uint32_t n) = 0;
  /// Forgets the tokens from position `n` on.
  virtual Result<void> rewind(std::uint32_t n) = 0;
  /// After prefill(n_prompt): `n` tokens, each the most likely after those before it.
  virtual Result<std::vector<Token>> greedy(std::uint32_t n_prompt, std::uint32_t n) = 0;
  /// Its threads are ready to compute, as they are in the middle of an answer.
  virtual void wake() {}
  /// Its threads leave the cores to the next contender.
  virtual void rest() = 0;

 protected:
  explicit Contender(std::string name) : name_(std::move(name)) {}

 private:
  std::string name_;
};

/// A guest with the Context in its linear memory, which calls dw_forward.
Result<std::unique_ptr<Contender>> make_driftwood(const ForwardSetup& setup);
/// libllama natively, with flash attention and without; both use one copy of the weights.
Result<std::vector<std::unique_ptr<Contender>>> make_libllama(const ForwardSetup& setup);

/// What each contender took, by its place.
struct ForwardTimes {
  std::vector<std::vector<double>> prefill_ms;
  std::vector<std::vector<double>> decode_ms;  ///< for each token
};
struct ForwardRounds {
  int warm_up = 0;
  int prefill = 0;
  int decode = 0;
  std::uint32_t decode_tokens = 0;  ///< in a slice, each slice after the same tokens
};

/// Prefill of `n` tokens and decode after them, the contenders in turns.
Result<ForwardTimes> measure_forward(std::span<const std::unique_ptr<Contender>> contenders, std::uint32_t n,
                                     const ForwardRounds& rounds);
/// An error unless the first contender picks the same greedy tokens as one of the others.
Result<void> check_greedy(std::span<const std::unique_ptr<Contender>> contenders, std::uint32_t n_prompt,
                          std::uint32_t n);

}  // namespace driftwood::bench
