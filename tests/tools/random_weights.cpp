#include "tools/random_weights.hpp"

#include <cmath>
#include <vector>

namespace driftwood::testing {
namespace {

/// SplitMix64 (Steele, Lea and Flood, 2014): one state, good enough for weights and quick.
class SplitMix {
 public:
  explicit SplitMix(std::uint64_t seed) : state_(seed) {}

  std::uint64_t next() noexcept {
    std::uint64_t z = (state_ += 0x9E3779B97F4A7C15ULL);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
    return z ^ (z >> 31);
  }
  /// Evenly from -1 to 1.
  float uniform() noexcept { return static_cast<float>(next() >> 40) * 0x1p-23F - 1.0F; }

 private:
  std::uint64_t state_;
};

}  // namespace

void fill_random(std::span<std::byte> data, ggml_type type, std::int64_t columns, float mean, float deviation,
                 std::uint64_t seed) {
  SplitMix random(seed);
  const float half_width = deviation * std::sqrt(3.0F);
  const std::size_t row_bytes = ggml_row_size(type, columns);
  std::vector<float> row(static_cast<std::size_t>(columns));
  for (std::size_t offset = 0; offset < data.size(); offset += row_bytes) {
    for (float& value : row) value = mean + half_width * random.uniform();
    ggml_quantize_chunk(type, row.data(), data.data() + offset, 0, 1, columns, nullptr);
  }
}

}  // namespace driftwood::testing
