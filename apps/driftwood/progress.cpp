#include "progress.hpp"

#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "console.hpp"
#include "core/clock.hpp"

namespace driftwood::cli {
namespace {
constexpr std::size_t kWidth = 30;
constexpr std::int64_t kInterval_ns = 100'000'000;
}  // namespace

ProgressBar::ProgressBar(std::string label, bool enabled)
    : label_(std::move(label)), enabled_(enabled && is_terminal(STDERR_FILENO)) {}

ProgressBar::~ProgressBar() { clear(); }

void ProgressBar::update(double fraction, std::string_view detail) {
  if (!enabled_) return;
  const std::int64_t now = monotonic_ns();
  if (drawn_ && now - last_ns_ < kInterval_ns) return;
  last_ns_ = now;
  drawn_ = true;
  fraction = std::clamp(fraction, 0.0, 1.0);
  const auto full = static_cast<std::size_t>(fraction * static_cast<double>(kWidth));
  const std::string bar = std::string(full, '#') + std::string(kWidth - full, '.');
  std::fprintf(stderr, "\r%s [%s] %3.0f%% %.*s\x1b[K", label_.c_str(), bar.c_str(), 100 * fraction,
               static_cast<int>(detail.size()), detail.data());
  std::fflush(stderr);
}

void ProgressBar::clear() {
  if (!drawn_) return;
  drawn_ = false;
  std::fputs("\r\x1b[K", stderr);
  std::fflush(stderr);
}

}  // namespace driftwood::cli
