// The null device fails as it is told, and a failure does no harm beyond itself.
#include "device/null/null_device.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <vector>

#include "device/gemm.hpp"
#include "device/graph.hpp"
#include "device/mirror/mirror_cache.hpp"

namespace driftwood {
namespace {

using ::driftwood::testing::Gemm;
using ::driftwood::testing::make_region;
using ::testing::HasSubstr;

class NullDeviceFailures : public ::testing::TestWithParam<Sharing> {
 protected:
  void SetUp() override {
    control_ = std::make_shared<NullDeviceControl>(NullDeviceOptions{.sharing = GetParam()});
    auto device = create_null_device(control_);
    ASSERT_TRUE(device) << device.error().to_string();
    device_ = std::move(*device);
    region_ = make_region(Gemm::kTotal);
    Gemm::fill(region_->data(), 3);
    before_.assign(region_->data(), region_->data() + region_->size());
  }

  Result<Import> import() { return device_->import(*region_, {0, Gemm::kTotal}, Require::any); }
  bool memory_is_intact() const { return std::equal(before_.begin(), before_.end(), region_->data()); }
  std::size_t pins() const { return region_->pins({0, region_->size()}); }

  std::shared_ptr<NullDeviceControl> control_;
  std::unique_ptr<Device> device_;
  std::unique_ptr<Region> region_;
  std::vector<std::byte> before_;
};

TEST_P(NullDeviceFailures, ImportsFailAsOftenAsTheyAreTold) {
  control_->fail_imports(2, ErrorCode::out_of_memory);
  for (int i = 0; i < 2; ++i) {
    const auto failed = import();
    ASSERT_FALSE(failed);
    EXPECT_EQ(failed.error().code, ErrorCode::out_of_memory);
    EXPECT_EQ(pins(), 0u);
  }
  EXPECT_TRUE(import());
}

TEST_P(NullDeviceFailures, ImportsAreRefusedUntilTheyAreNot) {
  control_->refuse_imports(true);
  for (int i = 0; i < 3; ++i) {
    const auto refused = import();
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, ErrorCode::unsupported);
    EXPECT_EQ(pins(), 0u);
  }
  control_->refuse_imports(false);
  EXPECT_TRUE(import());
}

TEST_P(NullDeviceFailures, RunningOutOfMemoryHarmsNeitherMemoryNorTheNextRun) {
  const auto imported = import();
  ASSERT_TRUE(imported);
  Gemm gemm;
  ASSERT_TRUE(gemm.build(*device_, *imported));
  control_->fail_computes(1, ErrorCode::out_of_memory);
  const auto failed = gemm.run();
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().code, ErrorCode::out_of_memory);
  EXPECT_TRUE(memory_is_intact());
  ASSERT_TRUE(gemm.run());
  EXPECT_EQ(Gemm::errors(region_->data()), 0u);
}

TEST_P(NullDeviceFailures, ALostDeviceFailsEveryCallAndOthersGoOn) {
  const auto imported = import();
  ASSERT_TRUE(imported);
  Gemm gemm;
  ASSERT_TRUE(gemm.build(*device_, *imported));
  control_->fail_computes(1, ErrorCode::device_lost);
  for (int i = 0; i < 2; ++i) {
    const auto lost = gemm.run();
    ASSERT_FALSE(lost);
    EXPECT_EQ(lost.error().code, ErrorCode::device_lost);
  }
  EXPECT_TRUE(memory_is_intact());
  const auto late = import();
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().code, ErrorCode::device_lost);
  EXPECT_THAT(late.error().message, HasSubstr("The device (null) was lost"));
  EXPECT_EQ(pins(), 1u) << "the import from before is still held, and lets go as ever";

  const auto other = open_device("cpu");
  ASSERT_TRUE(other);
  const auto other_import = (*other)->import(*region_, {0, Gemm::kTotal});
  ASSERT_TRUE(other_import);
  Gemm again;
  ASSERT_TRUE(again.build(**other, *other_import));
  ASSERT_TRUE(again.run());
  EXPECT_EQ(Gemm::errors(region_->data()), 0u);
}

TEST_P(NullDeviceFailures, ADeviceThatIsLostInAnImportIsLost) {
  control_->fail_imports(1, ErrorCode::device_lost);
  EXPECT_FALSE(import());
  const auto later = import();
  ASSERT_FALSE(later);
  EXPECT_EQ(later.error().code, ErrorCode::device_lost);
}

INSTANTIATE_TEST_SUITE_P(Sharings, NullDeviceFailures,
                         ::testing::Values(Sharing::same_memory, Sharing::mapped_over_bus, Sharing::copied),
                         [](const auto& sharing) { return std::string(to_string(sharing.param)); });

TEST(NullDevice, RefusesAnAlignmentThatCannotBe) {
  for (const std::size_t alignment : {0, 16, 48}) {
    const auto device =
        create_null_device(std::make_shared<NullDeviceControl>(NullDeviceOptions{.import_alignment = alignment}));
    ASSERT_FALSE(device);
    EXPECT_EQ(device.error().code, ErrorCode::invalid_argument);
    EXPECT_THAT(device.error().message, HasSubstr("Import alignment (" + std::to_string(alignment) + ")"));
  }
}

TEST(NullDevice, TakesWeightsThatFitWhatIsFreeAndCopiesNothingOfOthers) {
  alignas(64) static constexpr std::array<std::byte, 8192> weights{};
  for (const Sharing sharing : {Sharing::copied, Sharing::mapped_over_bus}) {
    const auto device = create_null_device(std::make_shared<NullDeviceControl>(
                                               NullDeviceOptions{.sharing = sharing, .free_memory = 4096}))
                            .value();
    EXPECT_TRUE(device->import_read_only(weights.data(), 4096, Require::any));
    const std::uint64_t copied = device->bytes_copied();
    const auto import = device->import_read_only(weights.data(), 4097, Require::any);
    EXPECT_EQ(device->bytes_copied(), copied);
    ASSERT_EQ(import.has_value(), sharing != Sharing::copied) << "only copies need its memory";
    if (import) continue;
    EXPECT_EQ(import.error().code, ErrorCode::out_of_memory);
    EXPECT_EQ(import.error().message, "The device (null) has 4.1 kB of its memory free, and the weights take 4.1 kB.");
  }
}

TEST(NullDevice, DropsMirrorsThatNoPassUsesForWeightsThatDoNotFitBesideThem) {
  if (const auto watch = PageWatch::create(); !watch) GTEST_SKIP() << watch.error().to_string();
  alignas(64) static constexpr std::array<std::byte, 8192> weights{};
  const auto device = create_null_device(std::make_shared<NullDeviceControl>(NullDeviceOptions{
                                             .sharing = Sharing::copied, .mirror_chunks = 8, .free_memory = 4096}))
                          .value();
  const auto region = make_region(kMiB);
  const Import import = device->import(*region, {0, kMiB}, Require::any).value();
  const auto mirror = [&](std::size_t offset) {
    return device->mirrors()->prepare({.memory = &import, .range = {offset, 4096}, .valid = 4096, .end = 4096}).value();
  };
  const auto used = mirror(0);
  {
    const auto idle = mirror(512 * kKiB);
  }
  ASSERT_TRUE(device->import_read_only(weights.data(), 4096, Require::any));
  EXPECT_EQ(device->mirrors()->use().chunks, 2U) << "there was room";
  EXPECT_FALSE(device->import_read_only(weights.data(), 8192, Require::any));
  EXPECT_EQ(device->mirrors()->use().chunks, 1U) << "that of the pass";
}

/// dst = a, and the byte at `user` is set by the host while the graph runs.
void copy_and_meddle(ggml_tensor* dst, const ggml_tensor* a, int ith, int /*nth*/, void* user) {
  if (ith != 0) return;
  std::copy_n(static_cast<const std::byte*>(a->data), ggml_nbytes(a), static_cast<std::byte*>(dst->data));
  *static_cast<std::byte*>(user) = std::byte{9};
}

class CopyingNullDevice : public ::testing::Test {
 protected:
  CopyingNullDevice()
      : device_(
            *create_null_device(std::make_shared<NullDeviceControl>(NullDeviceOptions{.sharing = Sharing::copied}))),
        region_(make_region(4 * page_size())),
        import_(*device_->import(*region_, {0, region_->size()}, Require::any)) {}

  std::unique_ptr<Device> device_;
  std::unique_ptr<Region> region_;
  Import import_;
};

TEST_F(CopyingNullDevice, WorksInMemoryOfItsOwn) {
  EXPECT_NE(import_.device_address(0), region_->data());
  EXPECT_EQ(import_.host(), region_->data());
}

TEST_F(CopyingNullDevice, WritesBackOnlyWhatTheGraphWrote) {
  constexpr std::size_t kTensorBytes = 64 * sizeof(float);
  std::byte* const beside = region_->data() + 8192 + kTensorBytes;
  const auto graph = Graph::create(*device_, 16, [&](Graph& g, ggml_context* context, ggml_cgraph* nodes) {
    ggml_tensor* a = ggml_new_tensor_1d(context, GGML_TYPE_F32, 64);
    // A view is a node that writes nothing.
    ggml_tensor* view = ggml_view_1d(context, a, 64, 0);
    ggml_tensor* c = ggml_map_custom1(context, view, copy_and_meddle, 1, beside);
    ggml_build_forward_expand(nodes, c);
    EXPECT_TRUE(g.bind(a, import_, 0));
    return g.bind(c, import_, 8192);
  });
  ASSERT_TRUE(graph);
  std::fill_n(region_->data(), kTensorBytes, std::byte{7});
  ASSERT_TRUE((*graph)->run());
  EXPECT_EQ(*beside, std::byte{9}) << "what the host wrote beside the result meanwhile stays";
  EXPECT_TRUE(std::all_of(region_->data() + 8192, beside, [](std::byte b) { return b == std::byte{7}; }));
  EXPECT_EQ(device_->bytes_copied(), 3 * kTensorBytes);
}

TEST_F(CopyingNullDevice, KeepsRowsThatAnOperatorDoesNotWrite) {
  // set_rows writes one row of four, in place.
  const auto graph = Graph::create(*device_, 16, [&](Graph& g, ggml_context* context, ggml_cgraph* nodes) {
    ggml_tensor* table = ggml_new_tensor_2d(context, GGML_TYPE_F32, 8, 4);
    ggml_tensor* row = ggml_new_tensor_2d(context, GGML_TYPE_F32, 8, 1);
    ggml_tensor* index = ggml_new_tensor_1d(context, GGML_TYPE_I64, 1);
    ggml_build_forward_expand(nodes, ggml_set_rows(context, table, row, index));
    EXPECT_TRUE(g.bind(table, import_, 0));
    EXPECT_TRUE(g.bind(row, import_, 1024));
    return g.bind(index, import_, 2048);
  });
  ASSERT_TRUE(graph) << graph.error().to_string();
  auto* const table = reinterpret_cast<float*>(region_->data());
  for (int i = 0; i < 32; ++i) table[i] = static_cast<float>(i);
  std::fill_n(reinterpret_cast<float*>(region_->data() + 1024), 8, 100.0F);
  *reinterpret_cast<std::int64_t*>(region_->data() + 2048) = 2;
  ASSERT_TRUE((*graph)->run());
  for (int i = 0; i < 32; ++i) EXPECT_EQ(table[i], i / 8 == 2 ? 100.0F : static_cast<float>(i)) << i;
}

}  // namespace
}  // namespace driftwood
