#include "driftwood/penalties.hpp"

#include <algorithm>
#include <bit>

namespace driftwood::guest {
namespace {

float penalized(const Penalties& penalties, float logit, std::uint32_t count) noexcept {
  const float repeated = logit > 0 ? logit / penalties.repetition : logit * penalties.repetition;
  return repeated - static_cast<float>(count) * penalties.frequency - penalties.presence;
}

}  // namespace

PenaltyWindow::PenaltyWindow(std::uint32_t size)
    : ring_(size), counts_(std::bit_ceil(std::size_t{size} * 2 + 1), Slot{0, 0}) {}

void PenaltyWindow::push(std::int32_t token) noexcept {
  if (ring_.empty() || token < 0) return;
  ring_[next_] = token;
  next_ = next_ + 1 == ring_.size() ? 0 : next_ + 1;
  used_ = std::min(used_ + 1, static_cast<std::uint32_t>(ring_.size()));
}

void PenaltyWindow::clear() noexcept {
  next_ = 0;
  used_ = 0;
}

void PenaltyWindow::apply(const Penalties& penalties, std::span<float> logits) noexcept {
  if (penalties.off() || used_ == 0) return;
  count_tokens();
  for (const Slot& slot : counts_) {
    if (slot.count == 0 || static_cast<std::size_t>(slot.token) >= logits.size()) continue;
    float& logit = logits[static_cast<std::size_t>(slot.token)];
    logit = penalized(penalties, logit, slot.count);
  }
}

void PenaltyWindow::apply(const Penalties& penalties, std::span<dw_logit> list) noexcept {
  if (penalties.off() || used_ == 0) return;
  count_tokens();
  for (dw_logit& entry : list) {
    const Slot& slot = slot_of(entry.token);
    if (slot.count != 0) entry.logit = penalized(penalties, entry.logit, slot.count);
  }
}

void PenaltyWindow::count_tokens() noexcept {
  std::fill(counts_.begin(), counts_.end(), Slot{0, 0});
  for (std::uint32_t i = 0; i < used_; ++i) {
    Slot& slot = slot_of(ring_[i]);
    slot.token = ring_[i];
    ++slot.count;
  }
}

PenaltyWindow::Slot& PenaltyWindow::slot_of(std::int32_t token) noexcept {
  const std::size_t mask = counts_.size() - 1;
  // Fibonacci hashing: neighbouring tokens, which are common, go to places far apart.
  std::size_t place = (static_cast<std::uint32_t>(token) * 0x9e3779b9u >> 8) & mask;
  while (counts_[place].count != 0 && counts_[place].token != token) place = (place + 1) & mask;
  return counts_[place];
}

}  // namespace driftwood::guest
