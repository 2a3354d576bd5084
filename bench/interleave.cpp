#include "interleave.hpp"

namespace driftwood::bench {

Result<std::vector<std::vector<double>>> interleave(std::span<const Measurement> sides, int warm_up, int rounds) {
  std::vector<std::vector<double>> values(sides.size());
  for (int round = -warm_up; round < rounds; ++round) {
    for (std::size_t i = 0; i < sides.size(); ++i) {
      DW_TRY_ASSIGN(const double value, sides[i]());
      if (round >= 0) values[i].push_back(value);
    }
  }
  return values;
}

}  // namespace driftwood::bench
