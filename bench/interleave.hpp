// Measures several things side by side: A B C, A B C, ... One thread.
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "core/error.hpp"

namespace driftwood::bench {

/// Does a piece of work once and gives what it measured.
using Measurement = std::function<Result<double>()>;

/// How often each side has its turn. A machine that is busy with other things makes fewer rounds, not a longer wait.
struct Rounds {
  int warm_up = 1;     ///< before, not kept; cut short when they take a quarter of `seconds`, but one is always made
  int at_most = 1;     ///< that are kept
  int at_least = 1;    ///< that are kept, however long they take
  double seconds = 0;  ///< after which no more than `at_least` rounds are begun; 0: as long as it takes
};

/// Each measurement's values, by its place in `sides`; round i of one side lies next to round i of the others. Ends at
/// the first error.
Result<std::vector<std::vector<double>>> interleave(std::span<const Measurement> sides, const Rounds& rounds);

}  // namespace driftwood::bench
