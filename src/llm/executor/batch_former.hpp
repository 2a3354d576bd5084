// Which tokens of the requests that wait go into the next pass.
//
// Short requests (decoded tokens) all go in, and where nobody decodes, small prompts whole.
// A large prompt goes through the layers by pieces, some layers at a time, so that whoever
// comes meanwhile waits for some layers at most: beside passes as many as the Pace allows,
// scaled by priority; without any as many as are worth the trouble.
// Where not all fit, those go first whose actor has had the least so far, weighted by
// priority (start-time fair queueing): so nobody starves, and a long prompt takes turns
// with others.
// One thread at a time.
#pragma once

#include <chrono>
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
/// Tokens of prompts that may go through all layers at once; more do not make a token cheaper.
inline constexpr std::uint32_t kSmallPrompts = 32;

class BatchFormer {
 public:
  using Clock = std::chrono::steady_clock;

  struct Limits {
    std::uint32_t chunk = 512;          ///< most tokens of prompts in a pass
    std::uint32_t max_sequences = 256;  ///< in a pass
    std::uint32_t piece_layers = 0;     ///< Passes::piece_layers; 0: chunks of just that size, whoever else waits
  };

  explicit BatchFormer(const Limits& limits) : limits_(limits), pace_(limits.piece_layers) {}

  /// Slices of a pass that begins now; `jobs` are started and have tokens left. May be empty: then there is a piece.
  std::span<const PassSlice> next(std::span<ForwardJob* const> jobs, Clock::time_point now);
  /// What may come between the last slices, which were run and noted, and the next ones. While all jobs still live.
  std::optional<PassPiece> piece();
  /// The last slices, or the last piece, were run in this time. While all jobs still live.
  void note(double us);
  void note_piece(double us);

 private:
  using Flow = const Import*;
  struct Had {
    double time = 0;         ///< virtual: tokens had, over the weight
    Clock::time_point last;  ///< was there
  };

  double time_of(const ForwardJob& job) const;
  void charge(const PassSlice& slice);
  void take(ForwardJob& job, std::uint32_t n_tokens);
  /// Of the long ones; null: there is none.
  ForwardJob* foremost() const;
  void sort(std::vector<ForwardJob*>& jobs) const;
  void sort_out(std::span<ForwardJob* const> jobs);
  void take_short();
  void take_small();
  void take_chunk();
  void look_for_decoders();
  /// What may be run now though it cannot be interrupted.
  double spare_us() const { return Pace::beside(undecoded_us_, 1); }
  double share_of(const ForwardJob& job) const;
  std::uint32_t tokens_of_new_piece(const ForwardJob& job) const;

  Limits limits_;
  Pace pace_;
  std::unordered_map<Flow, Had> times_;  ///< of actors that are ahead of now_
  Clock::time_point begin_;              ///< of the pass
  double now_ = 0;                       ///< where actors begin that come anew
  /// When those who decode had their last pass. An actor that brings a prompt is none of them.
  std::unordered_map<Flow, Clock::time_point> decoded_;
  double undecoded_us_ = 0;              ///< since anybody decoded; infinite: nobody does
  std::uint32_t n_short_ = 0;            ///< tokens of the last pass
  bool took_prompts_ = false;            ///< in the last pass
  int priority_ = 0;                     ///< the highest in the last pass
  ForwardJob* begun_ = nullptr;          ///< whose piece is on its way
  std::optional<PassPiece> piece_;       ///< the last one
  std::uint32_t piece_layers_done_ = 0;  ///< that it had before
  bool yielded_ = false;                 ///< it ended before it had all its layers
  std::vector<ForwardJob*> short_;
  std::vector<ForwardJob*> long_;
  std::vector<ForwardJob*> small_;
  std::vector<PassSlice> slices_;
};

}  // namespace driftwood
