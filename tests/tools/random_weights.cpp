#include "tools/random_weights.hpp"

#include <algorithm>
#include <cmath>
#include <thread>
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

constexpr std::size_t kRowsWorthThreads = 512;
constexpr std::uint64_t kRowStride = 0xD1B54A32D192ED03ULL;  // odd: rows of one seed begin far apart

void fill_rows(std::span<std::byte> data, std::size_t row_bytes, std::size_t first_row, ggml_type type,
               std::int64_t columns, float mean, float half_width, std::uint64_t seed) {
  std::vector<float> row(static_cast<std::size_t>(columns));
  for (std::size_t offset = 0; offset < data.size(); offset += row_bytes) {
    SplitMix random(seed + (first_row + offset / row_bytes) * kRowStride);
    for (float& value : row) value = mean + half_width * random.uniform();
    ggml_quantize_chunk(type, row.data(), data.data() + offset, 0, 1, columns, nullptr);
  }
}

}  // namespace

void fill_random(std::span<std::byte> data, ggml_type type, std::int64_t columns, float mean, float deviation,
                 std::uint64_t seed) {
  const float half_width = deviation * std::sqrt(3.0F);
  const std::size_t row_bytes = ggml_row_size(type, columns);
  const std::size_t rows = data.size() / row_bytes;
  // Quantizing is slow work; small tensors are not worth a thread.
  const std::size_t workers = rows < kRowsWorthThreads ? 1 : std::max(1U, std::thread::hardware_concurrency());
  ggml_quantize_init(type);
  std::vector<std::thread> threads;
  for (std::size_t worker = 0; worker < workers; ++worker) {
    const std::size_t first = rows * worker / workers;
    const std::size_t last = rows * (worker + 1) / workers;
    const auto part = data.subspan(first * row_bytes, (last - first) * row_bytes);
    const auto fill = [=] { fill_rows(part, row_bytes, first, type, columns, mean, half_width, seed); };
    if (worker + 1 < workers) {
      threads.emplace_back(fill);
    } else {
      fill();
    }
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace driftwood::testing
