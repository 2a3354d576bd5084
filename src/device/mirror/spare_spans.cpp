#include "device/mirror/spare_spans.hpp"

#include <algorithm>
#include <ranges>
#include <utility>

namespace driftwood {
namespace {

/// As many as actors come and go at once; each costs the device addresses, and what they show.
constexpr std::size_t kMost = 64;

bool shows(const MirrorSpan& span, const std::optional<Region::Place>& first) {
  return first && span.n_chunks() != 0 && span.chunk(0) != nullptr && span.chunk(0)->holds(*first, first->range.size);
}

/// Whether another has what it shows, or nobody can ask for it.
bool is_worthless(const MirrorSpan& span) {
  return std::ranges::all_of(std::views::iota(std::size_t{0}, span.n_chunks()), [&](std::size_t i) {
    const auto& chunk = span.chunk(i);
    return chunk == nullptr || chunk.use_count() > 1 || chunk->known == 0 || chunk->file.expired();
  });
}

}  // namespace

void SpareSpans::add(std::unique_ptr<MirrorSpan> span) {
  if (!span->has_chunks()) return;
  spans_.push_back(std::move(span));
  if (spans_.size() > kMost) spans_.pop_front();
}

std::unique_ptr<MirrorSpan> SpareSpans::take(std::size_t n_chunks, const std::optional<Region::Place>& first,
                                             bool any) {
  const auto find = [&](const auto& wanted) {
    return std::ranges::find_if(spans_,
                                [&](const auto& span) { return span->n_chunks() == n_chunks && wanted(*span); });
  };
  auto found = find([&](const MirrorSpan& span) { return shows(span, first); });
  if (found == spans_.end()) found = find(is_worthless);
  if (found == spans_.end() && any) found = find([](const MirrorSpan&) { return true; });
  if (found == spans_.end()) return nullptr;
  auto taken = std::move(*found);
  spans_.erase(found);
  return taken;
}

bool SpareSpans::drop_oldest() {
  if (spans_.empty()) return false;
  spans_.pop_front();
  return true;
}

}  // namespace driftwood
