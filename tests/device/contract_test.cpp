// What every device must do, whatever it shares: run over each device of this
// machine, and over the null device in its several kinds.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <functional>
#include <memory>
#include <ostream>
#include <string>
#include <thread>
#include <vector>

#include "device/device.hpp"
#include "device/gemm.hpp"
#include "device/graph.hpp"
#include "device/null/null_device.hpp"
#include "device/worker/worker_device.hpp"
#include "support/test_name.hpp"

namespace driftwood {
namespace {

using ::driftwood::testing::Gemm;
using ::driftwood::testing::make_region;
using ::testing::HasSubstr;

struct Kind {
  std::string name;
  std::function<Result<std::unique_ptr<Device>>()> open;
};

void PrintTo(const Kind& kind, std::ostream* out) { *out << kind.name; }

Kind null_kind(std::string name, const NullDeviceOptions& options) {
  return {std::move(name), [options] { return create_null_device(std::make_shared<NullDeviceControl>(options)); }};
}

std::vector<Kind> kinds() {
  std::vector<Kind> result;
  for (const std::string& name : device_names()) {
    result.push_back({name, [name] { return open_device(name, {.worker = WorkerUse::off}); }});
  }
#ifdef DW_TEST_FAULT_WORKER
  for (const std::string& name : device_names()) {
    result.push_back({name + "_in_worker", [name] { return open_device(name, {.worker = WorkerUse::on}); }});
  }
  for (const std::string name : {"null_over_bus", "null_copied", "null_coarse"}) {
    result.push_back({name + "_in_worker", [name] {
                        return worker::open_worker_device(name, {.program = DW_TEST_FAULT_WORKER, .device = {}});
                      }});
  }
#endif
  result.push_back(null_kind("null_over_bus", {.sharing = Sharing::mapped_over_bus, .host_kernels = false}));
  result.push_back(null_kind("null_copied", {.sharing = Sharing::copied}));
  result.push_back(null_kind("null_coarse", {.import_alignment = 4096, .tensor_alignment = 64, .max_import = kMiB}));
  return result;
}

class DeviceContract : public ::testing::TestWithParam<Kind> {
 protected:
  void SetUp() override {
    auto opened = GetParam().open();
    ASSERT_TRUE(opened) << opened.error().to_string();
    device_ = std::move(*opened);
  }

  Sharing sharing() const { return device_->info().capabilities.import_sharing; }
  Import import(Region& region) { return import(region, {0, region.size()}); }
  Import import(Region& region, ByteRange range) {
    auto imported = device_->import(region, range, Require::any);
    EXPECT_TRUE(imported) << imported.error().to_string();
    return imported ? std::move(*imported) : Import();
  }

  /// The import fails with `code`, a sentence with `text`, and leaves no pin.
  void expect_refused(Region& region, ByteRange range, Require require, ErrorCode code, const std::string& text) {
    const auto imported = device_->import(region, range, require);
    ASSERT_FALSE(imported);
    EXPECT_EQ(imported.error().code, code) << imported.error().message;
    EXPECT_THAT(imported.error().message, HasSubstr(text));
    EXPECT_EQ(region.pins({0, region.size()}), 0u);
  }

  std::unique_ptr<Device> device_;
};

TEST_P(DeviceContract, NamesItself) {
  EXPECT_FALSE(device_->info().name.empty());
  EXPECT_FALSE(device_->info().description.empty());
  EXPECT_NE(device_->scratch_type(), nullptr);
}

TEST_P(DeviceContract, ImportHasTheHostsAddressWhereTheDeviceSaysSo) {
  const auto region = make_region(4 * page_size());
  const ByteRange range{page_size(), 2 * page_size()};
  const Import import = this->import(*region, range);
  EXPECT_EQ(import.sharing(), sharing());
  EXPECT_EQ(import.host(), region->data() + page_size());
  EXPECT_EQ(import.size(), range.size);
  if (device_->info().capabilities.host_addresses) {
    EXPECT_EQ(import.device_address(0), region->data() + page_size());
    EXPECT_EQ(import.device_address(100), region->data() + page_size() + 100);
  }
}

TEST_P(DeviceContract, ComputesOnWhatTheHostWroteAndTheHostSeesTheResults) {
  const auto region = make_region(Gemm::kTotal);
  const Import import = this->import(*region);
  Gemm gemm;
  ASSERT_TRUE(gemm.build(*device_, import));
  for (unsigned seed = 1; seed <= 3; ++seed) {
    Gemm::fill(region->data(), seed);
    const auto run = gemm.run();
    ASSERT_TRUE(run) << run.error().to_string();
    EXPECT_EQ(Gemm::errors(region->data()), 0u) << "of " << Gemm::kElements << ", seed " << seed;
  }
}

TEST_P(DeviceContract, CopiesOnlyWhereItSaysSo) {
  const auto region = make_region(2 * Gemm::kTotal);
  const Import import = this->import(*region);
  Gemm gemm;
  ASSERT_TRUE(gemm.build(*device_, import));
  Gemm::fill(region->data(), 1);
  ASSERT_TRUE(gemm.run());
  // Two factors and the product go in, the product comes out; the rest of the Import is not touched.
  const std::size_t expected = sharing() == Sharing::copied ? Gemm::kTotal + Gemm::kBytes : 0;
  EXPECT_EQ(device_->bytes_copied(), expected);
}

TEST_P(DeviceContract, ComputesOnMemoryThatGrewAndOnCopyOnWriteMemory) {
  const std::size_t size = align_up(Gemm::kTotal, page_size());
  auto grown = Region::create({.reserve = 2 * size});
  ASSERT_TRUE(grown);
  ASSERT_TRUE((*grown)->grow(page_size()));
  ASSERT_TRUE((*grown)->grow(size));
  Gemm::fill((*grown)->data(), 5);
  const auto child = Region::create_over(*(*grown)->seal(), {.reserve = size, .commit = size});
  ASSERT_TRUE(child);
  for (Region* region : {grown->get(), child->get()}) {
    const Import import = this->import(*region);
    Gemm gemm;
    ASSERT_TRUE(gemm.build(*device_, import));
    ASSERT_TRUE(gemm.run());
    EXPECT_EQ(Gemm::errors(region->data()), 0u);
  }
}

TEST_P(DeviceContract, ImportsReadOnlyBytes) {
  std::vector<std::byte> storage(Gemm::kTotal + 4096);
  void* aligned = storage.data();
  std::size_t space = storage.size();
  ASSERT_NE(std::align(4096, Gemm::kBytes, aligned, space), nullptr);
  const auto region = make_region(Gemm::kTotal);
  Gemm::fill(region->data(), 6);
  std::copy_n(region->data(), Gemm::kBytes, static_cast<std::byte*>(aligned));

  auto weights = device_->import_read_only(static_cast<std::byte*>(aligned), Gemm::kBytes, Require::any);
  ASSERT_TRUE(weights) << weights.error().to_string();
  const Import import = this->import(*region);
  const auto graph = Graph::create(*device_, 16, [&](Graph& g, ggml_context* context, ggml_cgraph* nodes) {
    ggml_tensor* a = ggml_new_tensor_2d(context, GGML_TYPE_F32, Gemm::kSide, Gemm::kSide);
    ggml_tensor* b = ggml_new_tensor_2d(context, GGML_TYPE_F32, Gemm::kSide, Gemm::kSide);
    ggml_tensor* c = ggml_mul_mat(context, a, b);
    ggml_build_forward_expand(nodes, c);
    EXPECT_TRUE(g.bind(a, *weights, 0));
    EXPECT_TRUE(g.bind(b, import, Gemm::kBytes));
    return g.bind(c, import, 2 * Gemm::kBytes);
  });
  ASSERT_TRUE(graph) << graph.error().to_string();
  ASSERT_TRUE((*graph)->run());
  EXPECT_EQ(Gemm::errors(region->data()), 0u);
}

TEST_P(DeviceContract, PinsTheRangeWhileTheImportLives) {
  const auto region = make_region(4 * page_size());
  const ByteRange all{0, region->size()};
  {
    Import first = import(*region, {0, page_size()});
    EXPECT_EQ(region->pins({0, page_size()}), 1u);
    EXPECT_EQ(region->pins({page_size(), page_size()}), 0u);
    Import second = import(*region, {2 * page_size(), page_size()});
    EXPECT_EQ(region->pins(all), 2u);
    first = std::move(second);
    EXPECT_FALSE(second);
    EXPECT_EQ(region->pins({0, page_size()}), 0u) << "the import that was assigned over lets go";
    EXPECT_EQ(region->pins({2 * page_size(), page_size()}), 1u);
    EXPECT_EQ(first.host(), region->data() + 2 * page_size());
  }
  EXPECT_EQ(region->pins(all), 0u);
}

TEST_P(DeviceContract, ImportsThatAreWrongSayHowAndLeaveNoPin) {
  const auto region = make_region(4 * page_size());
  const std::size_t size = region->size();
  const std::string within = "not within the Region's bytes (" + std::to_string(size) + ")";
  for (const ByteRange& range : {ByteRange{0, 0}, ByteRange{0, size + 1}, ByteRange{size, 1}, ByteRange{SIZE_MAX, 2},
                                 ByteRange{page_size(), SIZE_MAX}}) {
    expect_refused(*region, range, Require::any, ErrorCode::invalid_argument, within);
  }
  const std::size_t alignment = device_->info().capabilities.import_alignment;
  if (alignment > 1) {
    expect_refused(*region, {alignment / 2, page_size()}, Require::any, ErrorCode::invalid_argument,
                   "is not aligned to " + std::to_string(alignment) + " bytes");
  }
  if (const std::size_t most = device_->info().capabilities.max_import; most < SIZE_MAX) {
    const auto large = make_region(most + page_size());
    expect_refused(
        *large, {0, most + 1}, Require::any, ErrorCode::unsupported,
        "is more than the device (" + device_->info().name + ") takes at once (" + std::to_string(most) + ")");
  }
}

TEST_P(DeviceContract, TensorsThatLieWhereItsKernelsCannotReadThemAreRefused) {
  const std::size_t alignment = device_->info().capabilities.tensor_alignment;
  const auto region = make_region(page_size());
  const Import import = this->import(*region);
  const auto scaled_at = [&](std::size_t offset) {
    return Graph::create(*device_, 8, [&](Graph& graph, ggml_context* context, ggml_cgraph* nodes) -> Result<void> {
      ggml_tensor* x = ggml_new_tensor_1d(context, GGML_TYPE_F32, 16);
      DW_TRY(graph.bind(x, import, offset));
      ggml_tensor* y = ggml_scale(context, x, 3.0F);
      DW_TRY(graph.bind(y, import, 1024));
      ggml_build_forward_expand(nodes, y);
      return {};
    });
  };
  EXPECT_TRUE(scaled_at(alignment < 4 ? 4 : alignment));
  if (alignment <= 4) return;
  const auto refused = scaled_at(4);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::unsupported);
  EXPECT_THAT(refused.error().message, HasSubstr("is not aligned to " + std::to_string(alignment) + " bytes"));
}

TEST_P(DeviceContract, ScratchMemoryIsWrittenAndReadThroughIt) {
  ggml_tensor* input = nullptr;
  ggml_tensor* output = nullptr;
  const auto graph = Graph::create(*device_, 8, [&](Graph&, ggml_context* context, ggml_cgraph* nodes) -> Result<void> {
    input = ggml_new_tensor_1d(context, GGML_TYPE_F32, 16);
    ggml_set_input(input);
    output = ggml_scale(context, input, 3.0F);
    ggml_set_output(output);
    ggml_build_forward_expand(nodes, output);
    return {};
  });
  ASSERT_TRUE(graph) << graph.error().to_string();
  std::vector<float> values(16);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i);
  ASSERT_TRUE((*graph)->set(input, std::span<const float>(values)));
  ASSERT_TRUE((*graph)->run());
  std::vector<float> results(16);
  ASSERT_TRUE((*graph)->get(output, std::span(results)));
  for (std::size_t i = 0; i < values.size(); ++i) EXPECT_EQ(results[i], 3.0F * values[i]);
}

TEST_P(DeviceContract, ReadOnlyImportsThatAreWrongSayHow) {
  const auto region = make_region(2 * page_size());
  const auto empty = device_->import_read_only(region->data(), 0, Require::any);
  const auto none = device_->import_read_only(nullptr, 64, Require::any);
  const auto misaligned = device_->import_read_only(region->data() + 1, 64, Require::any);
  ASSERT_FALSE(empty || none || misaligned);
  EXPECT_THAT(empty.error().message, HasSubstr("Import of 0 bytes is empty."));
  EXPECT_EQ(none.error().code, ErrorCode::invalid_argument);
  EXPECT_THAT(misaligned.error().message, HasSubstr("is not aligned to"));
}

TEST_P(DeviceContract, GivesWhatIsInsistedOnOrFails) {
  const auto region = make_region(page_size());
  const ByteRange all{0, region->size()};
  const bool same = sharing() == Sharing::same_memory;
  const bool copies = sharing() == Sharing::copied;
  EXPECT_EQ(device_->import(*region, all, Require::same_memory).has_value(), same);
  EXPECT_EQ(device_->import(*region, all, Require::no_copy).has_value(), !copies);
  EXPECT_TRUE(device_->import(*region, all, Require::any));
  if (copies) {
    expect_refused(*region, all, Require::no_copy, ErrorCode::unsupported,
                   "gives imports as copied, and this one insists on no copy");
  }
}

TEST_P(DeviceContract, GraphsAreBoundAnewBetweenRegions) {
  const auto first = make_region(Gemm::kTotal);
  const auto second = make_region(Gemm::kTotal + 2 * page_size());
  const Import first_import = import(*first);
  Import second_import = import(*second, {page_size(), Gemm::kTotal});
  Gemm gemm;
  ASSERT_TRUE(gemm.build(*device_, first_import));
  for (unsigned seed = 10; seed < 14; ++seed) {
    Gemm::fill(first->data(), seed);
    Gemm::fill(second->data() + page_size(), seed + 100);
    ASSERT_TRUE(gemm.rebind(first_import));
    ASSERT_TRUE(gemm.run());
    EXPECT_EQ(Gemm::errors(first->data()), 0u);
    EXPECT_NE(Gemm::errors(second->data() + page_size()), 0u) << "its product is not computed yet";
    ASSERT_TRUE(gemm.rebind(second_import));
    ASSERT_TRUE(gemm.run());
    EXPECT_EQ(Gemm::errors(second->data() + page_size()), 0u);
  }
  // An Import may go while a graph is bound to it, as long as the graph is bound anew before it runs.
  second_import = Import();
  ASSERT_TRUE(gemm.rebind(first_import));
  Gemm::fill(first->data(), 77);
  ASSERT_TRUE(gemm.run());
  EXPECT_EQ(Gemm::errors(first->data()), 0u);
}

TEST_P(DeviceContract, AGraphOfNothingIsDoneAtOnce) {
  constexpr std::size_t kNodes = 1;
  const std::unique_ptr<ggml_context, decltype(&ggml_free)> context(
      ggml_init({.mem_size = ggml_graph_overhead_custom(kNodes, false), .mem_buffer = nullptr, .no_alloc = true}),
      ggml_free);
  EXPECT_TRUE(device_->compute(ggml_new_graph_custom(context.get(), kNodes, false)));
}

TEST_P(DeviceContract, ComputesForManyThreadsAtOnce) {
  constexpr unsigned kThreads = 4;
  constexpr unsigned kRuns = 10;
  std::atomic<std::size_t> errors{0};
  std::atomic<unsigned> failures{0};
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      const auto region = make_region(Gemm::kTotal);
      for (unsigned i = 0; i < kRuns; ++i) {
        const Import import = this->import(*region);
        Gemm gemm;
        Gemm::fill(region->data(), t * kRuns + i);
        if (!gemm.build(*device_, import) || !gemm.run()) ++failures;
        errors += Gemm::errors(region->data());
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(failures, 0u);
  EXPECT_EQ(errors, 0u);
}

TEST_P(DeviceContract, ComputesWhileItIsToldToRest) {
  const auto region = make_region(Gemm::kTotal);
  const Import import = this->import(*region);
  Gemm gemm;
  ASSERT_TRUE(gemm.build(*device_, import));
  std::jthread other([&](const std::stop_token& ended) {
    while (!ended.stop_requested()) device_->rest();
  });
  for (unsigned i = 0; i < 100; ++i) {
    Gemm::fill(region->data(), i);
    ASSERT_TRUE(gemm.run());
    ASSERT_EQ(Gemm::errors(region->data()), 0u);
  }
}

TEST_P(DeviceContract, CancelledBeforeItBeginsWritesNothing) {
  const auto region = make_region(Gemm::kTotal);
  const Import import = this->import(*region);
  Gemm gemm;
  ASSERT_TRUE(gemm.build(*device_, import));
  Gemm::fill(region->data(), 1);
  const std::vector<std::byte> before(region->data(), region->data() + region->size());
  const std::atomic<bool> cancel{true};
  const auto run = gemm.graph().run(&cancel);
  ASSERT_FALSE(run);
  EXPECT_EQ(run.error().code, ErrorCode::cancelled);
  EXPECT_TRUE(std::equal(before.begin(), before.end(), region->data()));
}

TEST_P(DeviceContract, CancelEndsAComputationThatRunsAndTheNextOneIsWhole) {
  if (!device_->info().capabilities.host_kernels) {
    GTEST_SKIP() << "only a custom operator can cancel at a known place";
  }
  struct Watch {
    std::atomic<bool> cancel{false};
    std::atomic<bool> armed{true};
    std::atomic<int> operators{0};
  } watch;
  const auto step = [](ggml_tensor* dst, const ggml_tensor* a, int ith, int /*nth*/, void* user) {
    auto& w = *static_cast<Watch*>(user);
    if (ith != 0) return;
    *static_cast<float*>(dst->data) = *static_cast<const float*>(a->data) + 1;
    if (++w.operators == 3 && w.armed) w.cancel = true;
  };
  const auto region = make_region(page_size());
  const Import import = this->import(*region);
  constexpr int kSteps = 10;
  const auto graph = Graph::create(*device_, 64, [&](Graph& g, ggml_context* context, ggml_cgraph* nodes) {
    ggml_tensor* start = ggml_new_tensor_1d(context, GGML_TYPE_F32, 1);
    ggml_tensor* end = start;
    for (int i = 0; i < kSteps; ++i) end = ggml_map_custom1(context, end, step, 1, &watch);
    ggml_build_forward_expand(nodes, end);
    EXPECT_TRUE(g.bind(start, import, 0));
    return g.bind(end, import, 64);
  });
  ASSERT_TRUE(graph) << graph.error().to_string();
  auto* const values = reinterpret_cast<float*>(region->data());
  values[0] = 5;
  const auto cancelled = (*graph)->run(&watch.cancel);
  ASSERT_FALSE(cancelled);
  EXPECT_EQ(cancelled.error().code, ErrorCode::cancelled);
  EXPECT_EQ(watch.operators, 3);
  EXPECT_EQ(values[16], 0);

  watch.cancel = false;
  watch.armed = false;
  ASSERT_TRUE((*graph)->run(&watch.cancel));
  EXPECT_EQ(values[16], 5 + kSteps);
}

INSTANTIATE_TEST_SUITE_P(Devices, DeviceContract, ::testing::ValuesIn(kinds()),
                         [](const auto& kind) { return testing::test_name(kind.param.name); });

TEST(OpenDevice, KnowsItsNamesAndRefusesOthers) {
  const std::vector<std::string> names = device_names();
  EXPECT_THAT(names, ::testing::IsSupersetOf({"cpu", "null"}));
  EXPECT_EQ(std::ranges::count(names, "auto"), 0);
  const auto best = open_device("auto");
  ASSERT_TRUE(best);
  EXPECT_EQ((*best)->info().name, names.front());
  const auto unknown = open_device("abacus");
  ASSERT_FALSE(unknown);
  EXPECT_EQ(unknown.error().code, ErrorCode::not_found);
  EXPECT_THAT(unknown.error().message, HasSubstr("There is no device 'abacus'; a device is one of auto, "));
}

TEST(OpenDevice, TakesTheNumberOfThreadsThatItIsGiven) {
  const auto three = open_device("cpu", {.threads = 3});
  ASSERT_TRUE(three);
  EXPECT_EQ((*three)->info().threads, 3);
  const auto by_default = open_device("cpu");
  ASSERT_TRUE(by_default);
  EXPECT_GE((*by_default)->info().threads, 1);
  for (const int threads : {-1, 100000}) {
    const auto refused = open_device("cpu", {.threads = threads});
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, ErrorCode::invalid_argument);
    EXPECT_THAT(refused.error().message, HasSubstr("Number of threads (" + std::to_string(threads) + ")"));
  }
}

}  // namespace
}  // namespace driftwood
