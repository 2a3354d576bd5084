// Who runs the model in the benchmark forward: Driftwood through a guest, and libllama. One thread.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/error.hpp"
#include "interleave.hpp"
#include "model/tokenizer.hpp"

namespace driftwood::bench {

struct ForwardSetup {
  std::filesystem::path model;
  int threads = 1;
  std::uint32_t n_ctx = 0;             ///< tokens that fit
  bool strict = false;                 ///< ForwardOptions::strict
  std::filesystem::path packed_cache;  ///< ForwardOptions::packed_cache
  std::vector<Token> tokens;           ///< what is fed, by position; no longer than n_ctx
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
  /// Appends any token.
  virtual Result<void> append(Token token) = 0;
  /// Of the last token; dies with the next call.
  virtual std::span<const float> logits() const noexcept = 0;
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
  Rounds prefill;
  Rounds decode;
  std::uint32_t decode_tokens = 0;  ///< in a slice, each slice after the same tokens
};

/// Prefill of `n` tokens and decode after them, the contenders in turns.
Result<ForwardTimes> measure_forward(std::span<const std::unique_ptr<Contender>> contenders, std::uint32_t n,
                                     const ForwardRounds& rounds);
/// What the others think of the first contender's greedy tokens, all having seen the same ones.
struct Agreement {
  std::uint32_t tokens = 0;
  std::uint32_t same = 0;         ///< that the closest of the others would have picked, too
  std::uint32_t others_same = 0;  ///< where the others pick the same among themselves: the measure for `same`
  float largest_gap = 0;          ///< how far below its own best logit the closest one puts a token that was picked
};

/// After a prompt of `n_prompt` tokens the first contender picks `n`, each the most likely one. An error where each of
/// the others finds one of them further below its best than rounding explains.
Result<Agreement> check_greedy(std::span<const std::unique_ptr<Contender>> contenders, std::uint32_t n_prompt,
                               std::uint32_t n);

}  // namespace driftwood::bench
