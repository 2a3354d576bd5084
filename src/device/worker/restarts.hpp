// How often, and how soon, a device worker that ended is started again. Values; one thread at a time.
#pragma once

#include <chrono>
#include <optional>

namespace driftwood::worker {

class Restarts {
 public:
  static constexpr int kMost = 6;  ///< in a row, without a computation that succeeded

  /// A worker ended, or could not be started.
  void note_end() noexcept { ++ends_; }
  /// A computation succeeded.
  void note_success() noexcept { ends_ = 0; }

  int ends() const noexcept { return ends_; }
  /// How long to wait before the next start: nothing at first, then twice as long each time. Without a value: it ended
  /// kMost times in a row, and will again.
  std::optional<std::chrono::milliseconds> delay() const noexcept {
    if (ends_ >= kMost) return std::nullopt;
    return ends_ <= 1 ? std::chrono::milliseconds(0) : std::chrono::milliseconds(25 << (ends_ - 2));
  }

 private:
  int ends_ = 0;
};

}  // namespace driftwood::worker
