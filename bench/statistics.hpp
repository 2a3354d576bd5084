// What is said of repeated measurements. Pure; any thread.
#pragma once

#include <cstddef>
#include <vector>

namespace driftwood::bench {

/// A series of measurements, in the unit that they have.
struct Summary {
  double min = 0;
  double median = 0;  ///< of an even number: the mean of the middle two
  double q25 = 0;     ///< the quartiles, between neighbours in proportion
  double q75 = 0;
  double p95 = 0;  ///< the least value that 95 of 100 do not exceed (nearest rank)
  std::size_t runs = 0;
};

/// `values` may not be empty.
Summary summarize(std::vector<double> values);

/// over[i] / under[i]: each round against its own neighbour, so that what slows a machine for a while slows both.
/// Both must be equally long; the values of `under` may not be 0.
std::vector<double> pair_ratios(const std::vector<double>& over, const std::vector<double>& under);

}  // namespace driftwood::bench
