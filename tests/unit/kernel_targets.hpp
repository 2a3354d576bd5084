// Tests that run once for each of Highway's targets that the build has kernels for and this machine can run.
//
// Kernels are picked for the whole process: no others may run meanwhile.
#pragma once

#include <gtest/gtest.h>
#include <hwy/targets.h>

#include <cstddef>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

namespace driftwood::cpu {

/// Kernels are the target's while a test runs, and afterwards the machine's best ones again.
class KernelTargetTest : public ::testing::TestWithParam<std::int64_t> {
 protected:
  KernelTargetTest() { pick(GetParam()); }
  ~KernelTargetTest() override { pick(0); }

  static std::vector<float> normal_numbers(std::size_t n, unsigned seed) {
    std::mt19937 random(seed);
    std::normal_distribution<float> normal;
    std::vector<float> numbers(n);
    for (float& number : numbers) number = normal(random);
    return numbers;
  }

 private:
  /// 0: all targets of the machine.
  static void pick(std::int64_t targets) {
    hwy::SetSupportedTargetsForTest(targets);
    hwy::GetChosenTarget().Update(hwy::SupportedTargets());
  }
};

inline std::string name_of_target(const ::testing::TestParamInfo<std::int64_t>& chosen) {
  return hwy::TargetName(chosen.param);
}

}  // namespace driftwood::cpu
