// Measures several things side by side: A B C, A B C, ... One thread.
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "core/error.hpp"

namespace driftwood::bench {

/// Does a piece of work once and gives what it measured.
using Measurement = std::function<Result<double>()>;

/// Each measurement's values of `rounds` rounds, by its place in `sides`; round i of one side lies next to round i of
/// the others. Warm-up rounds go before and are not kept. Ends at the first error.
Result<std::vector<std::vector<double>>> interleave(std::span<const Measurement> sides, int warm_up, int rounds);

}  // namespace driftwood::bench
