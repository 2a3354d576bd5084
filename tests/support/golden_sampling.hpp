// A fixed run of the guest's sampler over made-up logits, for this machine and for WebAssembly alike.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "driftwood/random.hpp"
#include "driftwood/sampler.hpp"

namespace driftwood::guest::test {

inline constexpr std::size_t kGoldenTokens = 8;
/// For each kind of cut: top-k and top-p, top-p alone, min-p alone, none.
inline constexpr std::array<std::array<std::int32_t, kGoldenTokens>, 4> kGolden = {{
    {37324, 19190, 45045, 8048, 19017, 6654, 37496, 24631},
    {11423, 14599, 10282, 17037, 47326, 21567, 15447, 27513},
    {26557, 23827, 36359, 26597, 20376, 4124, 25258, 19929},
    {34638, 25605, 28271, 19168, 34336, 6913, 3271, 18687},
}};

/// Logits that no library's distribution made.
inline std::vector<float> golden_logits() {
  Generator bits = Generator::seeded(7);
  std::vector<float> logits(49152);
  for (float& logit : logits) logit = static_cast<float>(bits.below(16384)) / 1024.0F;
  return logits;
}

/// The tokens of one kind of cut, as kGolden lists them. Empty if the options were refused.
inline std::vector<std::int32_t> golden_tokens(std::size_t kind) {
  SamplerOptions options;
  options.seed = 1;
  options.penalties.presence = 1;
  if (kind != 0) options.top_k = 0;
  if (kind > 1) options.top_p = 1;
  if (kind == 2) options.min_p = 0.01F;
  const std::vector<float> logits = golden_logits();
  auto sampler = Sampler::create(options, static_cast<std::uint32_t>(logits.size()));
  std::vector<std::int32_t> tokens;
  for (std::size_t i = 0; sampler && i < kGoldenTokens; ++i) {
    std::vector<float> copy = logits;
    tokens.push_back(sampler->sample(copy));
    sampler->accept(tokens.back());
  }
  return tokens;
}

}  // namespace driftwood::guest::test
