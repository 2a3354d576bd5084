// How much of a prompt may be computed after a pass of decoded tokens, so that these do not wait long.
//
// Learned from what is measured: what decoded tokens take, and what a token of a prompt takes for each layer. Plain
// values; one thread at a time.
#pragma once

#include <cstdint>

namespace driftwood {

class Pace {
 public:
  explicit Pace(std::uint32_t n_layers) : n_layers_(n_layers) {}

  /// What a prompt may take beside decoded tokens that take `us`; `share` scales it, 1 among equals.
  static double beside(double us, double share) noexcept;

  /// Tokens of a piece that begins beside decoded tokens.
  std::uint32_t piece_tokens(double share) const;
  /// Layers for a piece of so many tokens, after a pass of decoded tokens. 0: none yet; one that takes longer than what
  /// it may comes once several passes have allowed it.
  std::uint32_t layers(std::uint32_t n_tokens, double share);
  /// Layers, at least one, that take about `us`, or where that is longer, what is allowed beside decoded tokens.
  std::uint32_t layers_within(std::uint32_t n_tokens, double us) const;
  /// Most tokens of a prompt that go through so many layers within `us`.
  std::uint32_t tokens_within(std::uint32_t n_layers, double us) const;

  /// What a pass of decoded tokens alone took.
  void note_decoded(std::uint32_t n_tokens, double us);
  /// What some layers of a piece took.
  void note_piece(std::uint32_t n_tokens, std::uint32_t n_layers, double us);

 private:
  /// Of a prompt; 0: nothing is known.
  double token_layer_us() const;
  std::uint32_t bounded(double layers) const;

  std::uint32_t n_layers_;
  double decoded_us_ = 0;  ///< a pass of n_decoded_ tokens; 0: not known
  std::uint32_t n_decoded_ = 0;
  double token_layer_us_ = 0;  ///< 0: not known
  double saved_us_ = 0;        ///< allowed by passes after which nothing was run, because a layer takes more
};

}  // namespace driftwood
