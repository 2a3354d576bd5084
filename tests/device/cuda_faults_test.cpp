// A kernel that fails on a CUDA device: the device is lost for the process, which goes on. Everything of CUDA's is
// spoilt in this process afterwards, so that there is one test.
#include <cuda_runtime_api.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "device/gemm.hpp"

namespace driftwood {
namespace {

using namespace driftwood::testing;
using ::testing::HasSubstr;

/// Runs a kernel that stops with a fault, as one that reaches beyond its memory does.
void fail_on_the_device() {
  constexpr const char* kTrap = R"(
    .version 7.0
    .target sm_80
    .address_size 64
    .visible .entry fault() { trap; }
  )";
  cudaLibrary_t library = nullptr;
  ASSERT_EQ(cudaLibraryLoadData(&library, kTrap, nullptr, nullptr, 0, nullptr, nullptr, 0), cudaSuccess);
  cudaKernel_t kernel = nullptr;
  ASSERT_EQ(cudaLibraryGetKernel(&kernel, library, "fault"), cudaSuccess);
  ASSERT_EQ(cudaLaunchKernel(reinterpret_cast<const void*>(kernel), dim3(1), dim3(1), nullptr, 0, nullptr),
            cudaSuccess);
  ASSERT_NE(cudaDeviceSynchronize(), cudaSuccess);
}

TEST(CudaFaults, AKernelThatFailsLosesTheDeviceAndEndsNothingElse) {
  const auto devices = list_devices();
  const bool is_here = std::ranges::any_of(
      devices, [](const DeviceListing& device) { return device.info.name == "cuda:0" && device.obstacle.empty(); });
  if (!is_here) GTEST_SKIP() << "There is no CUDA device here.";
  const auto region = make_region(Gemm::kTotal);
  Gemm::fill(region->data(), 1);
  {
    const auto cuda = open_device("cuda:0", {.worker = WorkerUse::off}).value();
    const Import import = cuda->import(*region, {0, region->size()}).value();
    Gemm gemm;
    ASSERT_TRUE(gemm.build(*cuda, import));
    ASSERT_TRUE(gemm.run());
    ASSERT_EQ(Gemm::errors(region->data()), 0U);
    ASSERT_NO_FATAL_FAILURE(fail_on_the_device());

    const auto run = gemm.run();
    ASSERT_FALSE(run);
    EXPECT_EQ(run.error().code, ErrorCode::device_lost) << run.error().to_string();
    const auto late = cuda->import(*region, {0, region->size()});
    ASSERT_FALSE(late);
    EXPECT_THAT(late.error().message, HasSubstr("The device (cuda:0) was lost"));
    // The graph, the import and the device end here.
  }
  const auto cpu = open_device("cpu").value();
  const Import import = cpu->import(*region, {0, region->size()}).value();
  Gemm gemm;
  ASSERT_TRUE(gemm.build(*cpu, import));
  Gemm::fill(region->data(), 2);
  ASSERT_TRUE(gemm.run());
  EXPECT_EQ(Gemm::errors(region->data()), 0U);
}

}  // namespace
}  // namespace driftwood
