#include "interleave.hpp"

#include "core/clock.hpp"

namespace driftwood::bench {
namespace {

Result<std::vector<double>> one_round(std::span<const Measurement> sides) {
  std::vector<double> values;
  for (const Measurement& side : sides) {
    DW_TRY_ASSIGN(const double value, side());
    values.push_back(value);
  }
  return values;
}

}  // namespace

Result<std::vector<std::vector<double>>> interleave(std::span<const Measurement> sides, const Rounds& rounds) {
  const Stopwatch watch;
  const auto spent = [&](double seconds) { return rounds.seconds > 0 && watch.elapsed_s() >= seconds; };
  for (int i = 0; i < rounds.warm_up; ++i) {
    if (i > 0 && spent(rounds.seconds / 4)) break;
    DW_TRY(one_round(sides));
  }
  std::vector<std::vector<double>> values(sides.size());
  for (int i = 0; i < rounds.at_most; ++i) {
    if (i >= rounds.at_least && spent(rounds.seconds)) break;
    DW_TRY_ASSIGN(const std::vector<double> round, one_round(sides));
    for (std::size_t side = 0; side < sides.size(); ++side) values[side].push_back(round[side]);
  }
  return values;
}

}  // namespace driftwood::bench
