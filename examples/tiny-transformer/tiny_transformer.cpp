// A guest that brings a transformer of its own: random weights, op records, greedy tokens, each step compared with
// plain loops.
#include <algorithm>
#include <cinttypes>
#include <cmath>
#include <cstdio>

#include "device_step.hpp"
#include "driftwood/host.hpp"
#include "driftwood/selection.hpp"
#include "transformer.hpp"

namespace {

using namespace driftwood::guest;

constexpr std::uint64_t kSeed = 20;
/// The device adds in another order than the loops do.
constexpr float kTolerance = 1e-3F;

/// FNV-1a, 64 bits (G. Fowler, L. Noll, K.-P. Vo).
std::uint64_t add_to_checksum(std::uint64_t checksum, std::int32_t token) {
  return (checksum ^ static_cast<std::uint64_t>(token)) * 0x100000001b3u;
}

Result<int> run() {
  DW_TRY_ASSIGN(const tiny::Transformer model, tiny::Transformer::create(kSeed));
  DW_TRY_ASSIGN(const tiny::Transformer reference, tiny::Transformer::create(kSeed));
  DW_TRY_ASSIGN(tiny::DeviceStep step, tiny::DeviceStep::create(model));
  std::int32_t token = 1;
  std::uint64_t checksum = 0xcbf29ce484222325u;
  float difference = 0;
  std::printf("tokens:");
  for (std::uint32_t position = 0; position < tiny::kPositions; ++position) {
    DW_TRY_ASSIGN(const std::span<const float> logits, step.run(token, position));
    float expected[tiny::kVocab];
    tiny::reference_step(reference, token, position, expected);
    for (std::size_t i = 0; i < logits.size(); ++i) {
      difference = std::max(difference, std::abs(logits[i] - expected[i]));
    }
    token = highest_token(logits);
    checksum = add_to_checksum(checksum, token);
    std::printf(" %d", token);
  }
  const bool agrees = difference <= kTolerance;
  std::printf("\nchecksum: %016" PRIx64 "\nthe device agrees with plain loops: %s (largest difference %.2g)\n",
              checksum, agrees ? "yes" : "no", static_cast<double>(difference));
  return agrees ? 0 : 1;
}

}  // namespace

int main() {
  const auto status = run();
  return status ? *status : report(status.error());
}
