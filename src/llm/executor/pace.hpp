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

  /// Tokens of a piece that begins now.
  std::uint32_t piece_tokens() const;
  /// Layers, at least one, for a piece of so many tokens.
  std::uint32_t layers(std::uint32_t n_tokens) const;

  /// What a pass of decoded tokens alone took.
  void note_decoded(std::uint32_t n_tokens, double us);
  /// What some layers of a piece took.
  void note_piece(std::uint32_t n_tokens, std::uint32_t n_layers, double us);

 private:
  /// Tokens times layers.
  double allowance() const;

  std::uint32_t n_layers_;
  double decoded_us_ = 0;  ///< a pass of n_decoded_ tokens; 0: not known
  std::uint32_t n_decoded_ = 0;
  double token_layer_us_ = 0;  ///< 0: not known
};

}  // namespace driftwood
