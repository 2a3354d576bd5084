#include "statistics.hpp"

#include <algorithm>

#include "core/error.hpp"

namespace driftwood::bench {

Summary summarize(std::vector<double> values) {
  DW_CHECK(!values.empty());
  std::ranges::sort(values);
  const std::size_t runs = values.size();
  const double upper_middle = values[runs / 2];
  const double median = runs % 2 == 1 ? upper_middle : (values[runs / 2 - 1] + upper_middle) / 2;
  const std::size_t rank = (runs * 95 + 99) / 100;
  return {.min = values.front(), .median = median, .p95 = values[rank - 1], .runs = runs};
}

std::vector<double> pair_ratios(const std::vector<double>& over, const std::vector<double>& under) {
  DW_CHECK(over.size() == under.size());
  std::vector<double> ratios;
  ratios.reserve(over.size());
  for (std::size_t i = 0; i < over.size(); ++i) ratios.push_back(over[i] / under[i]);
  return ratios;
}

}  // namespace driftwood::bench
