#include "llm/executor/batch_former.hpp"

#include <algorithm>
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

std::uint32_t BatchFormer::prompt_budget(std::uint32_t n_short) {
  if (limits_.whole_chunks || (n_short == 0 && since_short_ > kDecodersLinger)) return limits_.chunk;
  const std::uint32_t allowed = pace_.allowance(std::max(n_short, 1U));
  // A pass must have something; and where nothing is known yet, prompts do not wait for it.
  return n_short == 0 && allowed == 0 ? std::min(kShortRequest * 2, limits_.chunk) : allowed;
}

std::span<const PassSlice> BatchFormer::next(std::span<ForwardJob* const> jobs) {
  slices_.clear();
  short_.clear();
  long_.clear();
  double least = INFINITY;
  for (ForwardJob* job : jobs) {
    (job->left() <= kShortRequest ? short_ : long_).push_back(job);
    least = std::min(least, time_of(*job));
  }
  if (!jobs.empty()) now_ = least;
  std::erase_if(times_, [this](const auto& entry) { return entry.second <= now_; });

  const auto by_time = [this](const ForwardJob* job) { return time_of(*job); };
  if (short_.size() > limits_.max_sequences) std::ranges::stable_sort(short_, {}, by_time);
  n_short_ = 0;
  for (ForwardJob* job : short_) {
    if (slices_.size() == limits_.max_sequences) break;
    n_short_ += job->left();
    take(*job, job->left());
  }
  since_short_ = short_.empty() ? (since_short_ == UINT32_MAX ? since_short_ : since_short_ + 1) : 0;

  n_prompt_ = 0;
  if (long_.empty()) return slices_;
  const std::uint32_t budget = prompt_budget(n_short_);
  std::ranges::stable_sort(long_, {}, by_time);
  for (ForwardJob* job : long_) {
    // One more than the shorts may have: a crowd of them does not keep prompts out.
    if (n_prompt_ == budget || slices_.size() > limits_.max_sequences) break;
    const std::uint32_t n = std::min(job->left(), budget - n_prompt_);
    if (limits_.whole_chunks && n_prompt_ != 0) break;
    take(*job, n);
    n_prompt_ += n;
  }
  return slices_;
}

void BatchFormer::note(double us) { pace_.note(n_short_, n_prompt_, us); }

}  // namespace driftwood
