#include "driftwood/stop.hpp"

#include <algorithm>
#include <utility>

namespace driftwood::guest {

StopMatcher::StopMatcher(std::vector<std::string> stops) : stops_(std::move(stops)) {
  std::erase_if(stops_, [](const std::string& stop) { return stop.empty(); });
}

bool StopMatcher::push(std::string_view text, std::string& out) {
  if (stopped_) return true;
  if (stops_.empty()) {
    out += text;
    return false;
  }
  for (const char c : text) {
    held_ += c;
    if (ends_with_stop()) {
      stopped_ = true;
      break;
    }
  }
  const std::size_t keep = stopped_ ? 0 : possible_prefix();
  out.append(held_, 0, held_.size() - keep);
  held_.erase(0, held_.size() - keep);
  return stopped_;
}

void StopMatcher::finish(std::string& out) {
  out += held_;
  held_.clear();
  stopped_ = false;
}

/// True if a stop string ends here; the longest such is cut off.
bool StopMatcher::ends_with_stop() {
  std::size_t longest = 0;
  for (const std::string& stop : stops_) {
    if (held_.ends_with(stop)) longest = std::max(longest, stop.size());
  }
  held_.resize(held_.size() - longest);
  return longest != 0;
}

/// Bytes at the end of held_ that may become a stop string.
std::size_t StopMatcher::possible_prefix() const noexcept {
  std::size_t longest = 0;
  for (const std::string& stop : stops_) {
    for (std::size_t size = std::min(stop.size() - 1, held_.size()); size > longest; --size) {
      if (std::string_view(held_).ends_with(std::string_view(stop).substr(0, size))) longest = size;
    }
  }
  return longest;
}

}  // namespace driftwood::guest
