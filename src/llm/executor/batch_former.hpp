// Which tokens of the requests that wait go into the next pass.
//
// Short requests (decoded tokens) all go in. Long ones (prompts) go in by whole chunks
// where nobody decodes. Where somebody does, a piece of one prompt goes through the
// layers meanwhile, after each pass as many as the Pace allows. Where not all fit, those
// go first whose actor has had the least so far, weighted by priority (start-time fair
// queueing): so nobody starves, and a long prompt takes turns with others.
// One thread at a time.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

#include "llm/executor/pace.hpp"
#include "llm/forward_job.hpp"

namespace driftwood {

/// Requests with no more tokens left than this are short.
inline constexpr std::uint32_t kShortRequest = 4;

class BatchFormer {
 public:
  struct Limits {
    std::uint32_t chunk = 512;          ///< most tokens of prompts in a pass
    std::uint32_t max_sequences = 256;  ///< in a pass
    std::uint32_t piece_layers = 0;     ///< Passes::piece_layers; 0: chunks of just that size, whoever else waits
  };

  explicit BatchFormer(const Limits& limits) : limits_(limits), pace_(limits.piece_layers) {}

  /// Slices of the next pass; `jobs` are started and have tokens left. May be empty: then there is a piece.
  std::span<const PassSlice> next(std::span<ForwardJob* const> jobs);
  /// What may come between the last slices, which were run and noted, and the next ones.
  std::optional<PassPiece> piece();
  /// Nobody has come for some time: those who decoded are not thought to come back.
  void forget_decoders() noexcept { since_short_ = UINT32_MAX; }
  /// The last slices, or the last piece, were run in this time.
  void note(double us);
  void note_piece(double us);

 private:
  using Flow = const Import*;

  double time_of(const ForwardJob& job) const;
  void charge(const PassSlice& slice);
  void take(ForwardJob& job, std::uint32_t n_tokens);
  bool somebody_decodes() const noexcept;
  void take_chunk();

  Limits limits_;
  Pace pace_;
  std::unordered_map<Flow, double> times_;  ///< virtual: tokens had, over the weight; of actors that are ahead of now_
  double now_ = 0;                          ///< where actors begin that come anew
  std::uint32_t since_short_ = UINT32_MAX;  ///< passes without a short request
  std::uint32_t n_short_ = 0;               ///< tokens of the last pass
  bool took_chunk_ = false;                 ///< in the last pass
  ForwardJob* begun_ = nullptr;             ///< whose piece is on its way
  std::optional<PassPiece> piece_;          ///< the last one
  std::vector<ForwardJob*> short_;
  std::vector<ForwardJob*> long_;
  std::vector<PassSlice> slices_;
};

}  // namespace driftwood
