// Faults of a real driver: a Vulkan device that runs on the processor gets no more memory. What asked
// for it gets an error, and the device goes on.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <algorithm>
#include <fstream>
#include <vector>

#include "device/gemm.hpp"

namespace driftwood {
namespace {

using namespace driftwood::testing;
using ::testing::HasSubstr;

/// While it lives, the process gets no more than `spare` bytes of addresses beside those that it has.
class NoMoreMemory {
 public:
  explicit NoMoreMemory(std::size_t spare) {
    getrlimit(RLIMIT_AS, &before_);
    std::size_t pages = 0;
    std::ifstream("/proc/self/statm") >> pages;
    rlimit limit = before_;
    limit.rlim_cur = pages * page_size() + spare;
    setrlimit(RLIMIT_AS, &limit);
  }
  ~NoMoreMemory() { setrlimit(RLIMIT_AS, &before_); }
  NoMoreMemory(const NoMoreMemory&) = delete;
  NoMoreMemory& operator=(const NoMoreMemory&) = delete;

 private:
  rlimit before_{};
};

/// A Vulkan device whose memory is this process's, or empty.
std::string processor_device() {
  for (const DeviceListing& device : list_devices()) {
    if (device.info.name.starts_with("vulkan:") && device.obstacle.empty() && !device.hardware) return device.info.name;
  }
  return {};
}

// The tests of Vulkan are left out where there is no device for them, and nothing would say that none had run.
TEST(VulkanBuild, FindsADeviceThatItCanUse) {
  std::string seen;
  for (const DeviceListing& device : list_devices()) {
    if (!device.info.name.starts_with("vulkan")) continue;
    if (device.obstacle.empty()) return;
    seen += device.info.name + ": " + device.obstacle + "\n";
  }
  FAIL() << "This build has Vulkan, and there is no device for its tests; Mesa's driver for the processor would do "
            "(mesa-vulkan-drivers).\n"
         << seen;
}

class VulkanFaults : public ::testing::Test {
 protected:
  static constexpr std::size_t kSpare = 8 * kMiB;

  void SetUp() override {
    name_ = processor_device();
    if (name_.empty()) GTEST_SKIP() << "There is no Vulkan driver for the processor here.";
    vulkan_ = open_device(name_, {.worker = WorkerUse::off}).value();
  }

  /// A product on the device is right.
  void expect_sound() {
    const auto region = make_region(Gemm::kTotal);
    const Import import = vulkan_->import(*region, {0, region->size()}).value();
    Gemm gemm;
    ASSERT_TRUE(gemm.build(*vulkan_, import));
    Gemm::fill(region->data(), 1);
    const auto run = gemm.run();
    ASSERT_TRUE(run) << run.error().to_string();
    EXPECT_EQ(Gemm::errors(region->data()), 0U);
  }

  std::string name_;
  std::unique_ptr<Device> vulkan_;
};

TEST_F(VulkanFaults, AGraphWithoutRoomForItsScratchIsRefused) {
  expect_sound();
  const auto create = [&] {
    return Graph::create(*vulkan_, 8, [](Graph&, ggml_context* context, ggml_cgraph* nodes) -> Result<void> {
      ggml_tensor* x = ggml_new_tensor_1d(context, GGML_TYPE_F32, 64 * kMiB / sizeof(float));
      ggml_set_input(x);
      ggml_build_forward_expand(nodes, ggml_scale(context, x, 3.0F));
      return {};
    });
  };
  {
    const NoMoreMemory limit(kSpare);
    const auto graph = create();
    ASSERT_FALSE(graph);
    EXPECT_EQ(graph.error().code, ErrorCode::out_of_memory) << graph.error().to_string();
    EXPECT_THAT(graph.error().message, HasSubstr("does not fit the device (" + name_ + ")"));
  }
  EXPECT_TRUE(create());
  expect_sound();
}

TEST_F(VulkanFaults, AComputationThatRunsOutOfMemoryInItsMiddleIsAnErrorAndTheNextOneIsRight) {
  // For a factor whose rows do not lie one after another, ggml makes a copy when the graph runs.
  constexpr std::int64_t kSide = 4096;
  constexpr std::size_t kFactor = kSide * kSide * sizeof(float);
  const auto region = make_region(kFactor + 2 * kSide * sizeof(float));
  const Import import = vulkan_->import(*region, {0, region->size()}).value();
  const auto graph =
      Graph::create(*vulkan_, 8, [&](Graph& g, ggml_context* context, ggml_cgraph* nodes) -> Result<void> {
        ggml_tensor* many = ggml_new_tensor_2d(context, GGML_TYPE_F32, kSide, kSide);
        ggml_tensor* one = ggml_new_tensor_2d(context, GGML_TYPE_F32, kSide, 1);
        DW_TRY(g.bind(many, import, 0));
        DW_TRY(g.bind(one, import, kFactor));
        ggml_tensor* product = ggml_mul_mat(context, one, ggml_transpose(context, many));
        DW_TRY(g.bind(product, import, kFactor + kSide * sizeof(float)));
        ggml_build_forward_expand(nodes, product);
        return {};
      }).value();
  auto* const values = reinterpret_cast<float*>(region->data());
  const std::span<float> one(values + kSide * kSide, kSide);
  const std::span<float> product(one.data() + kSide, kSide);
  // Column c of the large factor is c + 1 in its first row and 0 below.
  for (std::int64_t c = 0; c < kSide; ++c) values[c] = static_cast<float>(c % 100 + 1);
  std::ranges::fill(one, 2.0F);
  // Shaders are compiled at their first use, which takes memory that nobody gives back.
  ASSERT_TRUE(graph->run());
  std::ranges::fill(product, 0.0F);
  expect_sound();  // which lets go of the copy
  {
    const NoMoreMemory limit(kSpare);
    const auto run = graph->run();
    ASSERT_FALSE(run);
    EXPECT_EQ(run.error().code, ErrorCode::out_of_memory) << run.error().to_string();
  }
  const auto again = graph->run();
  ASSERT_TRUE(again) << again.error().to_string();
  for (std::int64_t c = 0; c < kSide; ++c) ASSERT_EQ(product[c], 2.0F * values[c]) << c;
  expect_sound();
}

}  // namespace
}  // namespace driftwood
