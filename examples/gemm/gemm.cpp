// Multiplies two 128 x 128 matrices that lie in this guest's memory, on the host's device, and checks every element.
#include <cinttypes>
#include <cstdint>
#include <cstdio>
#include <span>

#include "driftwood/block.hpp"
#include "driftwood/host.hpp"
#include "driftwood/tensor.hpp"

namespace {

using namespace driftwood::guest;

constexpr std::uint32_t kN = 128;
constexpr std::uint32_t kElements = kN * kN;

/// Small whole numbers: every sum is exact, in whichever order it is added.
void fill(std::span<float> matrix, std::uint32_t step) {
  for (std::uint32_t i = 0; i < matrix.size(); ++i) matrix[i] = static_cast<float>((i * step + i / kN) % 9) - 4;
}

std::uint32_t count_errors(std::span<const float> a, std::span<const float> b, std::span<const float> c) {
  std::uint32_t errors = 0;
  for (std::uint32_t column = 0; column < kN; ++column) {
    for (std::uint32_t row = 0; row < kN; ++row) {
      float expected = 0;
      for (std::uint32_t k = 0; k < kN; ++k) expected += a[row * kN + k] * b[column * kN + k];
      errors += c[column * kN + row] != expected;
    }
  }
  return errors;
}

Result<int> run() {
  DW_TRY_ASSIGN(const dw_info before, host_info());
  DW_TRY_ASSIGN(const Block block, Block::allocate(3 * kElements * sizeof(float), before.page_size));
  const std::span<float> a = block.as<float>().first(kElements);
  const std::span<float> b = block.as<float>().subspan(kElements, kElements);
  const std::span<float> c = block.as<float>().subspan(2 * kElements);
  fill(a, 5);
  fill(b, 7);

  Graph graph;
  graph.matmul(graph.tensor(c.data(), {kN, kN}), graph.tensor(a.data(), {kN, kN}), graph.tensor(b.data(), {kN, kN}));
  DW_TRY(graph.run());

  const std::uint32_t errors = count_errors(a, b, c);
  DW_TRY_ASSIGN(const dw_info after, host_info());
  const std::string_view sharing = sharing_name(after.sharing);
  std::printf("gemm: n %u, elements %u, errors %u\n", kN, kElements, errors);
  std::printf("device: %s, sharing %.*s, page size %u\n", after.device, static_cast<int>(sharing.size()),
              sharing.data(), after.page_size);
  if (after.host_base != 0) {
    std::printf("host base 0x%" PRIx64 ", device base 0x%" PRIx64 ", same pointer: %s\n", after.host_base,
                after.device_base, after.host_base == after.device_base ? "yes" : "no");
    std::printf("the result's first byte: guest 0x%zx, host 0x%" PRIx64 "\n", reinterpret_cast<std::size_t>(c.data()),
                after.host_base + reinterpret_cast<std::size_t>(c.data()));
  }
  std::printf("bytes copied: %" PRIu64 "\n", after.bytes_copied - before.bytes_copied);
  return errors == 0 ? 0 : 1;
}

}  // namespace

int main() {
  const auto status = run();
  return status ? *status : report(status.error());
}
