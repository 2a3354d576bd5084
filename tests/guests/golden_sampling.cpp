// Prints the tokens of the golden runs of the sampler; exit status 1 if they are not those of other machines.
#include "support/golden_sampling.hpp"

#include <algorithm>
#include <cstdio>

int main() {
  using namespace driftwood::guest::test;
  bool same = true;
  for (std::size_t kind = 0; kind < kGolden.size(); ++kind) {
    const auto tokens = golden_tokens(kind);
    same = same && std::equal(tokens.begin(), tokens.end(), kGolden[kind].begin(), kGolden[kind].end());
    for (const std::int32_t token : tokens) std::printf("%d, ", token);
    std::printf("\n");
  }
  return same ? 0 : 1;
}
