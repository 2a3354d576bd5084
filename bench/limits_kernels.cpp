#include "bench/limits_kernels.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "bench/limits_kernels.cpp"
#include <hwy/foreach_target.h>  // compiles the rest of this file once for each target
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace driftwood::bench {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

constexpr std::size_t kChains = 12;  // as many as hide the latency of two units

double multiply_and_add(std::uint64_t rounds, float& keep) {
  const hn::ScalableTag<float> d;
  hn::Vec<decltype(d)> sums[kChains];
  for (std::size_t i = 0; i < kChains; ++i) sums[i] = hn::Set(d, 1.0F + static_cast<float>(i));
  const auto factor = hn::Set(d, 0.999F);
  const auto add = hn::Set(d, 0.001F);
  for (std::uint64_t round = 0; round < rounds; ++round) {
    for (auto& sum : sums) sum = hn::MulAdd(sum, factor, add);
  }
  auto total = sums[0];
  for (std::size_t i = 1; i < kChains; ++i) total = hn::Add(total, sums[i]);
  keep += hn::GetLane(hn::SumOfLanes(d, total));
  return 2.0 * static_cast<double>(rounds * kChains * hn::Lanes(d));
}

std::uint64_t read_through(std::span<const std::byte> bytes) {
  const hn::CappedTag<std::uint64_t, 8> d;
  const std::size_t lanes = hn::Lanes(d);
  const auto* words = reinterpret_cast<const std::uint64_t*>(bytes.data());
  const std::size_t n = bytes.size() / sizeof(*words);
  auto a = hn::Zero(d);
  auto b = hn::Zero(d);
  for (std::size_t i = 0; i + 2 * lanes <= n; i += 2 * lanes) {
    a = hn::Xor(a, hn::LoadU(d, words + i));
    b = hn::Xor(b, hn::LoadU(d, words + i + lanes));
  }
  return hn::GetLane(hn::SumOfLanes(d, hn::Xor(a, b)));
}

}  // namespace HWY_NAMESPACE
}  // namespace driftwood::bench
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace driftwood::bench {

HWY_EXPORT(multiply_and_add);
HWY_EXPORT(read_through);

double multiply_and_add(std::uint64_t rounds, float& keep) {
  return HWY_DYNAMIC_DISPATCH(multiply_and_add)(rounds, keep);
}
std::uint64_t read_through(std::span<const std::byte> bytes) { return HWY_DYNAMIC_DISPATCH(read_through)(bytes); }

}  // namespace driftwood::bench
#endif  // HWY_ONCE
