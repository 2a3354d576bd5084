#include "llm/executor/batch_former.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <utility>

namespace driftwood {

namespace {

// Where nobody decodes: layers that take this long at a time leave little to win by more.
constexpr double kStepUs = 1e3;
// Who has not been there for so long does not decode any more, and owes nothing.
constexpr std::chrono::seconds kForgotten{10};

int priority_of(const ForwardJob& job) {
  return std::clamp<int>(job.request().priority, -int{kMostPriority}, int{kMostPriority});
}

}  // namespace

double BatchFormer::time_of(const ForwardJob& job) const {
  const auto found = times_.find(job.request().memory);
  return found == times_.end() ? now_ : std::max(now_, found->second.time);
}

void BatchFormer::charge(const PassSlice& slice) {
  const double cost = slice.n_tokens / std::exp2(priority_of(*slice.job));
  times_[slice.job->request().memory] = {time_of(*slice.job) + cost, begin_};
}

void BatchFormer::take(ForwardJob& job, std::uint32_t n_tokens) {
  priority_ = slices_.empty() ? priority_of(job) : std::max(priority_, priority_of(job));
  slices_.push_back({&job, n_tokens});
  charge(slices_.back());
}

ForwardJob* BatchFormer::foremost() const {
  if (long_.empty()) return nullptr;
  return *std::ranges::min_element(long_, {}, [this](const ForwardJob* job) { return time_of(*job); });
}

void BatchFormer::sort(std::vector<ForwardJob*>& jobs) const {
  std::ranges::stable_sort(jobs, {}, [this](const ForwardJob* job) { return time_of(*job); });
}

void BatchFormer::sort_out(std::span<ForwardJob* const> jobs) {
  short_.clear();
  long_.clear();
  begun_ = nullptr;
  double least = INFINITY;
  for (ForwardJob* job : jobs) {
    if (job->piece() != 0) {
      begun_ = job;
    } else {
      (job->left() <= kShortRequest ? short_ : long_).push_back(job);
    }
    least = std::min(least, time_of(*job));
    if (const auto had = times_.find(job->request().memory); had != times_.end()) had->second.last = begin_;
    if (job->request().tokens.size() > kShortRequest) decoded_.erase(job->request().memory);
  }
  if (!jobs.empty()) now_ = least;
  std::erase_if(times_, [this](const auto& entry) { return entry.second.time <= now_; });
}

void BatchFormer::take_short() {
  if (short_.size() > limits_.max_sequences) sort(short_);
  n_short_ = 0;
  for (ForwardJob* job : short_) {
    if (slices_.size() == limits_.max_sequences) break;
    n_short_ += job->left();
    take(*job, job->left());
    // Else it is what is left of a prompt.
    if (job->request().tokens.size() <= kShortRequest) decoded_[job->request().memory] = begin_;
  }
}

void BatchFormer::look_for_decoders() {
  undecoded_us_ = INFINITY;
  std::erase_if(decoded_, [&](const auto& entry) {
    undecoded_us_ = std::min(undecoded_us_, std::chrono::duration<double, std::micro>(begin_ - entry.second).count());
    return begin_ - entry.second > kForgotten;
  });
}

void BatchFormer::take_small() {
  std::uint32_t room = std::min({kSmallPrompts, limits_.chunk, pace_.tokens_within(limits_.piece_layers, spare_us())});
  small_.clear();
  std::ranges::copy_if(long_, std::back_inserter(small_), [room](const auto* job) { return job->left() <= room; });
  sort(small_);
  for (ForwardJob* job : small_) {
    if (slices_.size() > limits_.max_sequences) break;
    if (job->left() > room) continue;
    room -= job->left();
    take(*job, job->left());
    took_prompts_ = true;
  }
}

void BatchFormer::take_chunk() {
  // One more than the shorts may have: a crowd of them does not keep prompts out.
  if (ForwardJob* const job = foremost()) take(*job, std::min(job->left(), limits_.chunk));
  took_prompts_ = !long_.empty();
}

std::span<const PassSlice> BatchFormer::next(std::span<ForwardJob* const> jobs, Clock::time_point now) {
  slices_.clear();
  took_prompts_ = false;
  // Where all that come are new, now_ stays; and who comes later may have the address of one that is gone. Seen from
  // the pass before, which may have taken long: who was there is there still.
  std::erase_if(times_, [this](const auto& entry) { return begin_ - entry.second.last > kForgotten; });
  begin_ = now;
  sort_out(jobs);
  take_short();
  look_for_decoders();
  if (limits_.piece_layers == 0) {
    take_chunk();
  } else {
    take_small();
  }
  return slices_;
}

double BatchFormer::share_of(const ForwardJob& job) const {
  return slices_.empty() ? 1 : std::exp2(priority_of(job) - priority_);
}

std::uint32_t BatchFormer::tokens_of_new_piece(const ForwardJob& job) const {
  const std::uint32_t most = std::min(job.left(), limits_.chunk);
  // Whoever comes back waits for a layer.
  const std::uint32_t in_a_layer = pace_.tokens_within(1, spare_us());
  if (in_a_layer >= most) return most;
  return std::bit_floor(std::min(most, std::max(in_a_layer, pace_.piece_tokens(share_of(job)))));
}

std::optional<PassPiece> BatchFormer::piece() {
  piece_.reset();
  if (limits_.piece_layers == 0) return piece_;
  ForwardJob* job = begun_;
  if (job == nullptr) {
    // Some were small, and in the pass.
    std::erase_if(long_, [](const ForwardJob* other) { return other->ended(); });
    job = foremost();
    yielded_ = false;
    if (job == nullptr) return piece_;
  }
  const std::uint32_t n_tokens = begun_ != nullptr ? begun_->piece() : tokens_of_new_piece(*job);
  // A layer that made way was allowed before.
  const std::uint32_t n_layers = yielded_          ? 1
                                 : slices_.empty() ? pace_.layers_within(n_tokens, std::min(kStepUs, spare_us()))
                                                   : pace_.layers(n_tokens, share_of(*job));
  if (n_layers == 0) return piece_;
  if (begun_ == nullptr) charge({job, n_tokens});
  piece_layers_done_ = job->layers_done();
  piece_ = {job, n_tokens, std::min(n_layers, limits_.piece_layers - piece_layers_done_)};
  return piece_;
}

void BatchFormer::note(double us) {
  if (n_short_ != 0 && !took_prompts_) pace_.note_decoded(n_short_, us);
}

void BatchFormer::note_piece(double us) {
  const ForwardJob& job = *piece_->job;
  const bool fell_short = job.piece() != 0 && job.layers_done() != piece_layers_done_ + piece_->n_layers;
  const bool went_on_within = std::exchange(yielded_, fell_short);
  // The first layers of a piece may come with the making of its graph; parts of layers, and what failed, say nothing.
  if (piece_layers_done_ == 0 || fell_short || went_on_within) return;
  pace_.note_piece(piece_->n_tokens, piece_->n_layers, us);
}

}  // namespace driftwood
