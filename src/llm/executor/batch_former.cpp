#include "llm/executor/batch_former.hpp"

#include <algorithm>
#include <bit>
#include <cmath>

namespace driftwood {

namespace {

// Passes for which those who decode are thought to come back, though they are not there.
constexpr std::uint32_t kDecodersLinger = 2;

}  // namespace

double BatchFormer::time_of(const ForwardJob& job) const {
  const auto found = times_.find(job.request().memory);
  return found == times_.end() ? now_ : std::max(now_, found->second);
}

void BatchFormer::charge(const PassSlice& slice) {
  const double weight =
      std::exp2(std::clamp(slice.job->request().priority, static_cast<std::int8_t>(-kMostPriority), kMostPriority));
  times_[slice.job->request().memory] = time_of(*slice.job) + slice.n_tokens / weight;
}

void BatchFormer::take(ForwardJob& job, std::uint32_t n_tokens) {
  slices_.push_back({&job, n_tokens});
  charge(slices_.back());
}

bool BatchFormer::somebody_decodes() const noexcept { return n_short_ != 0 || since_short_ <= kDecodersLinger; }

void BatchFormer::take_chunk() {
  std::ranges::stable_sort(long_, {}, [this](const ForwardJob* job) { return time_of(*job); });
  std::uint32_t taken = 0;
  for (ForwardJob* job : long_) {
    // One more than the shorts may have: a crowd of them does not keep prompts out.
    if (taken == limits_.chunk || slices_.size() > limits_.max_sequences) break;
    if (limits_.piece_layers == 0 && taken != 0) break;
    const std::uint32_t n = std::min(job->left(), limits_.chunk - taken);
    take(*job, n);
    taken += n;
  }
  took_chunk_ = taken != 0;
}

std::span<const PassSlice> BatchFormer::next(std::span<ForwardJob* const> jobs) {
  slices_.clear();
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
  }
  if (!jobs.empty()) now_ = least;
  std::erase_if(times_, [this](const auto& entry) { return entry.second <= now_; });

  if (short_.size() > limits_.max_sequences) {
    std::ranges::stable_sort(short_, {}, [this](const ForwardJob* job) { return time_of(*job); });
  }
  n_short_ = 0;
  for (ForwardJob* job : short_) {
    if (slices_.size() == limits_.max_sequences) break;
    n_short_ += job->left();
    take(*job, job->left());
  }
  since_short_ = short_.empty() ? (since_short_ == UINT32_MAX ? since_short_ : since_short_ + 1) : 0;
  took_chunk_ = false;
  if (limits_.piece_layers == 0 || (begun_ == nullptr && !somebody_decodes())) take_chunk();
  return slices_;
}

std::optional<PassPiece> BatchFormer::piece() {
  piece_.reset();
  if (begun_ != nullptr) {
    const std::uint32_t n = begun_->piece();
    piece_ = {begun_, n, somebody_decodes() ? pace_.layers(n) : limits_.piece_layers};
    piece_->n_layers = std::min(piece_->n_layers, limits_.piece_layers - begun_->layers_done());
  } else if (limits_.piece_layers != 0 && somebody_decodes() && !long_.empty()) {
    ForwardJob* const job = *std::ranges::min_element(long_, {}, [this](const auto* other) { return time_of(*other); });
    const std::uint32_t n = std::min(pace_.piece_tokens(), std::bit_floor(job->left()));
    piece_ = {job, n, pace_.layers(n)};
    charge({job, n});
  }
  return piece_;
}

void BatchFormer::note(double us) {
  if (n_short_ != 0 && !took_chunk_) pace_.note_decoded(n_short_, us);
}

void BatchFormer::note_piece(double us) { pace_.note_piece(piece_->n_tokens, piece_->n_layers, us); }

}  // namespace driftwood
