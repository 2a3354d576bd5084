#include "statistics.hpp"

#include <algorithm>
#include <cmath>

#include "core/error.hpp"

namespace driftwood::bench {
namespace {

/// The value that the fraction `part` of sorted `values` does not exceed, between neighbours in proportion (type 7 of
/// Hyndman and Fan, 1996).
double quantile(const std::vector<double>& values, double part) {
  const double place = static_cast<double>(values.size() - 1) * part;
  const auto below = static_cast<std::size_t>(place);
  const std::size_t above = std::min(below + 1, values.size() - 1);
  return std::lerp(values[below], values[above], place - static_cast<double>(below));
}

}  // namespace

Summary summarize(std::vector<double> values) {
  DW_CHECK(!values.empty());
  std::ranges::sort(values);
  const std::size_t runs = values.size();
  const std::size_t rank = (runs * 95 + 99) / 100;
  return {.min = values.front(),
          .median = quantile(values, 0.5),
          .q25 = quantile(values, 0.25),
          .q75 = quantile(values, 0.75),
          .p95 = values[rank - 1],
          .runs = runs};
}

std::vector<double> pair_ratios(const std::vector<double>& over, const std::vector<double>& under) {
  DW_CHECK(over.size() == under.size());
  std::vector<double> ratios;
  ratios.reserve(over.size());
  for (std::size_t i = 0; i < over.size(); ++i) ratios.push_back(over[i] / under[i]);
  return ratios;
}

}  // namespace driftwood::bench
