// An import of memory that the device shares must not make the process any larger.
#include <gtest/gtest.h>

#include <cstring>
#include <fstream>
#include <string>

#include "device/device.hpp"
#include "device/gemm.hpp"
#include "support/test_name.hpp"

namespace driftwood {
namespace {

using ::driftwood::testing::make_region;

/// Resident bytes of this process, counted from the page tables; -1 where the system does not say.
std::int64_t resident_bytes() {
  std::ifstream rollup("/proc/self/smaps_rollup");
  for (std::string line; std::getline(rollup, line);) {
    if (line.starts_with("Rss:")) return std::stoll(line.substr(4)) * 1024;
  }
  return -1;
}

class ImportMemory : public ::testing::TestWithParam<std::string> {};

TEST_P(ImportMemory, OfSixteenMebibytesAddsNone) {
  if (resident_bytes() < 0) GTEST_SKIP() << "needs /proc/self/smaps_rollup";
  const auto device = open_device(GetParam());
  ASSERT_TRUE(device);
  if ((*device)->info().capabilities.import_sharing != Sharing::same_memory)
    GTEST_SKIP() << "its imports are not shared";
  const auto region = make_region(16 * kMiB);
  std::memset(region->data(), 1, region->size());
  const ByteRange all{0, region->size()};
  ASSERT_TRUE((*device)->import(*region, all)) << "what a first import sets up is not what each one costs";

  const std::int64_t before = resident_bytes();
  const auto import = (*device)->import(*region, all);
  const std::int64_t added = resident_bytes() - before;
  ASSERT_TRUE(import);
  EXPECT_LE(added, 64 * 1024);
  RecordProperty("added_bytes", std::to_string(added));
}

INSTANTIATE_TEST_SUITE_P(Devices, ImportMemory, ::testing::ValuesIn(device_names()),
                         [](const auto& test) { return testing::test_name(test.param); });

}  // namespace
}  // namespace driftwood
