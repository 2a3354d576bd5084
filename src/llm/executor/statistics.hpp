// What an Executor has done so far. Plain values.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace driftwood {

struct ExecutorStatistics {
  std::uint64_t waiting = 0;    ///< requests that are there now, those in a pass included
  std::uint64_t requests = 0;   ///< that ended, whatever with
  std::uint64_t refused = 0;    ///< because too many waited
  std::uint64_t cancelled = 0;  ///< before their last pass
  std::uint64_t passes = 0;     ///< a piece of a prompt is one, once it had all layers
  std::uint64_t tokens = 0;     ///< of all passes
  /// Passes by the number of requests that they served: 1, 2, 3 to 4, 5 to 8, ... 129 and more.
  std::array<std::uint64_t, 9> by_sequences{};
  std::uint64_t waited_us = 0;       ///< of all requests, until their first pass began
  std::uint64_t most_waited_us = 0;  ///< of one
  std::uint64_t passes_ns = 0;       ///< what the passes took

  /// Where a number of requests counts in by_sequences.
  static std::size_t bucket(std::size_t sequences) noexcept {
    std::size_t bucket = 0;
    while (bucket + 1 < std::size_t{9} && (std::size_t{1} << bucket) < sequences) ++bucket;
    return bucket;
  }
};

}  // namespace driftwood
