// Spans whose mirrors are gone, with what they show: for mirrors to come.
//
// Internal to src/device/mirror. One thread at a time.
#pragma once

#include <deque>
#include <memory>
#include <optional>

#include "device/mirror/mirror_span.hpp"

namespace driftwood {

class SpareSpans {
 public:
  /// Keeps a span; the oldest ones go where there are too many.
  void add(std::unique_ptr<MirrorSpan> span);
  /// A span of `n_chunks`: one that shows what lies at `first` at its start, else one that shows nothing which could
  /// be asked for again, else, with `any`, the oldest; or null.
  std::unique_ptr<MirrorSpan> take(std::size_t n_chunks, const std::optional<Region::Place>& first, bool any);
  /// Gives the oldest one's memory back; false: there is none.
  bool drop_oldest();
  void drop() { spans_.clear(); }

  const std::deque<std::unique_ptr<MirrorSpan>>& spans() const noexcept { return spans_; }

 private:
  std::deque<std::unique_ptr<MirrorSpan>> spans_;  ///< the oldest first
};

}  // namespace driftwood
