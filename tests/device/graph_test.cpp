#include "device/graph.hpp"

#include <ggml-backend.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <functional>
#include <vector>

#include "device/gemm.hpp"
#include "device/null/null_device.hpp"

namespace driftwood {
namespace {

using ::driftwood::testing::make_region;
using ::testing::HasSubstr;

class GraphTest : public ::testing::Test {
 protected:
  GraphTest()
      : device_(*open_device("cpu", {.threads = 2})),
        region_(make_region(4 * page_size())),
        import_(*device_->import(*region_, {0, region_->size()})) {}

  float* floats(Region& region, std::size_t offset) { return reinterpret_cast<float*>(region.data() + offset); }

  std::unique_ptr<Device> device_;
  std::unique_ptr<Region> region_;
  Import import_;
};

TEST_F(GraphTest, TensorsThatAreNotBoundLieInScratchMemory) {
  ggml_tensor* input = nullptr;
  ggml_tensor* output = nullptr;
  const auto graph =
      Graph::create(*device_, 16, [&](Graph&, ggml_context* context, ggml_cgraph* nodes) -> Result<void> {
        input = ggml_new_tensor_1d(context, GGML_TYPE_F32, 4);
        ggml_set_input(input);
        output = ggml_scale(context, ggml_add(context, input, input), 10);
        ggml_set_output(output);
        ggml_build_forward_expand(nodes, output);
        return {};
      });
  ASSERT_TRUE(graph) << graph.error().to_string();
  EXPECT_GE((*graph)->scratch_size(), 4 * sizeof(float));
  for (const float start : {1.0F, 2.0F}) {
    const std::array<float, 4> values = {start, 2, 3, 4};
    ggml_backend_tensor_set(input, values.data(), 0, sizeof(values));
    ASSERT_TRUE((*graph)->run());
    std::array<float, 4> results{};
    ggml_backend_tensor_get(output, results.data(), 0, sizeof(results));
    EXPECT_EQ(results, (std::array<float, 4>{20 * start, 40, 60, 80}));
  }
}

TEST_F(GraphTest, NeedsNoScratchMemoryWhenAllIsBound) {
  testing::Gemm gemm;
  const auto region = make_region(testing::Gemm::kTotal);
  const auto import = device_->import(*region, {0, testing::Gemm::kTotal});
  ASSERT_TRUE(import);
  ASSERT_TRUE(gemm.build(*device_, *import));
  EXPECT_EQ(gemm.graph().scratch_size(), 0u);
}

TEST_F(GraphTest, ViewsFollowTheTensorThatTheyView) {
  ggml_tensor* memory = nullptr;
  ggml_tensor* sum = nullptr;
  const auto graph =
      Graph::create(*device_, 32, [&](Graph& g, ggml_context* context, ggml_cgraph* nodes) -> Result<void> {
        memory = ggml_new_tensor_1d(context, GGML_TYPE_F32, 64);
        // One view is made before the tensor has its memory, one after, and one is a view of a view.
        ggml_tensor* early = ggml_view_1d(context, memory, 8, 32 * sizeof(float));
        DW_TRY(g.bind(memory, import_, 0));
        ggml_tensor* late = ggml_view_1d(context, memory, 16, 8 * sizeof(float));
        ggml_tensor* nested = ggml_view_1d(context, late, 8, 8 * sizeof(float));
        sum = ggml_add(context, early, nested);
        ggml_tensor* stored = ggml_cpy(context, sum, ggml_view_1d(context, memory, 8, 0));
        ggml_build_forward_expand(nodes, stored);
        return {};
      });
  ASSERT_TRUE(graph) << graph.error().to_string();
  const auto other_region = make_region(4 * page_size());
  const auto other_import = device_->import(*other_region, {0, other_region->size()});
  ASSERT_TRUE(other_import);
  struct Place {
    Region* region;
    const Import* import;
    std::size_t offset;
  };
  for (const auto& [region, import, offset] :
       {Place{other_region.get(), &*other_import, 512}, Place{region_.get(), &import_, 64},
        Place{other_region.get(), &*other_import, 0}}) {
    float* const values = floats(*region, offset);
    for (int i = 0; i < 64; ++i) values[i] = static_cast<float>(i);
    ASSERT_TRUE((*graph)->bind(memory, *import, offset));
    ASSERT_TRUE((*graph)->run());
    for (int i = 0; i < 8; ++i) EXPECT_EQ(values[i], static_cast<float>((32 + i) + (16 + i)));
    for (int i = 8; i < 64; ++i) EXPECT_EQ(values[i], static_cast<float>(i));
  }
}

TEST_F(GraphTest, BindingsThatAreWrongSayHow) {
  ggml_tensor* bound = nullptr;
  ggml_tensor* view = nullptr;
  ggml_tensor* scratch = nullptr;
  const auto graph = Graph::create(*device_, 16, [&](Graph& g, ggml_context* context, ggml_cgraph* nodes) {
    bound = ggml_set_name(ggml_new_tensor_1d(context, GGML_TYPE_F32, 4), "bound");
    view = ggml_set_name(ggml_view_1d(context, bound, 2, 0), "view");
    scratch = ggml_set_name(ggml_scale(context, view, 2), "scratch");
    ggml_build_forward_expand(nodes, scratch);
    return g.bind(bound, import_, 0);
  });
  ASSERT_TRUE(graph) << graph.error().to_string();
  const auto message = [&](ggml_tensor* tensor, std::size_t offset) {
    const auto result = (*graph)->bind(tensor, import_, offset);
    EXPECT_FALSE(result);
    if (result) return std::string("no failure");
    EXPECT_EQ(result.error().code, ErrorCode::invalid_argument);
    return result.error().message;
  };
  const std::string size = std::to_string(region_->size());
  EXPECT_EQ(message(bound, region_->size() - 12), "Tensor (bound) of 16 bytes at offset " +
                                                      std::to_string(region_->size() - 12) +
                                                      " does not lie within its import (" + size + ").");
  EXPECT_THAT(message(bound, SIZE_MAX), HasSubstr("does not lie within its import"));
  EXPECT_EQ(message(bound, 2), "Tensor (bound) at offset 2 is not aligned to 4 bytes, as its type (f32) needs it.");
  EXPECT_THAT(message(view, 0), HasSubstr("Tensor (view) is a view of another one"));
  EXPECT_THAT(message(scratch, 0), HasSubstr("Tensor (scratch) is in scratch memory"));
  EXPECT_TRUE((*graph)->run()) << "a binding that failed leaves the old one";
}

TEST_F(GraphTest, QuantizedRowsNeedOnlyTheirOwnAlignment) {
  const auto graph =
      Graph::create(*device_, 16, [&](Graph& g, ggml_context* context, ggml_cgraph* nodes) -> Result<void> {
        ggml_tensor* rows = ggml_new_tensor_1d(context, GGML_TYPE_Q8_0, 32);
        ggml_tensor* values = ggml_new_tensor_1d(context, GGML_TYPE_F32, 32);
        ggml_build_forward_expand(nodes, ggml_cpy(context, values, rows));
        DW_TRY(g.bind(values, import_, 0));
        EXPECT_FALSE(g.bind(rows, import_, 1025));
        return g.bind(rows, import_, 1026);
      });
  ASSERT_TRUE(graph) << graph.error().to_string();
  for (int i = 0; i < 32; ++i) floats(*region_, 0)[i] = static_cast<float>(i - 16) * 127 / 16;
  ASSERT_TRUE((*graph)->run());
  const auto* const quants = reinterpret_cast<const std::int8_t*>(region_->data() + 1026 + 2);
  EXPECT_EQ(quants[0], -127);
  EXPECT_EQ(quants[16], 0);
}

/// x * 2 + 1 in a graph of two parts, over scratch memory.
class GraphParts : public GraphTest {
 protected:
  static void count(ggml_tensor* to, const ggml_tensor* from, int ith, int, void* self) {
    if (ith != 0) return;
    std::copy_n(static_cast<const float*>(from->data), ggml_nelements(from), static_cast<float*>(to->data));
    auto* const parts = static_cast<GraphParts*>(self);
    ++parts->n_counted_;
    if (parts->on_count_) parts->on_count_();
  }

  void SetUp() override {
    auto graph = Graph::create(*device_, 16, [&](Graph& g, ggml_context* context, ggml_cgraph* nodes) -> Result<void> {
      input_ = ggml_new_tensor_1d(context, GGML_TYPE_F32, 4);
      ggml_set_input(input_);
      ggml_tensor* twice = ggml_map_custom1(context, ggml_add(context, input_, input_), count, 1, this);
      ggml_build_forward_expand(nodes, twice);
      g.cut(nodes);
      output_ = ggml_map_custom1(context, ggml_scale_bias(context, twice, 1, 1), count, 1, this);
      ggml_set_output(output_);
      ggml_build_forward_expand(nodes, output_);
      return {};
    });
    ASSERT_TRUE(graph) << graph.error().to_string();
    graph_ = *std::move(graph);
  }
  void set(float first) {
    const std::array<float, 4> values = {first, 2, 3, 4};
    ASSERT_TRUE(graph_->set(input_, std::span<const float>(values)));
  }
  std::array<float, 4> output() const {
    std::array<float, 4> values{};
    EXPECT_TRUE(graph_->get(output_, std::span<float>(values)));
    return values;
  }

  ggml_tensor* input_ = nullptr;
  ggml_tensor* output_ = nullptr;
  std::unique_ptr<Graph> graph_;
  int n_counted_ = 0;
  std::function<void()> on_count_;
};

TEST_F(GraphParts, OneAfterAnotherAreARun) {
  set(1);
  ASSERT_TRUE(graph_->run());
  EXPECT_EQ(output(), (std::array<float, 4>{3, 5, 7, 9}));
  set(10);
  ASSERT_TRUE(graph_->run_parts(0, 1));
  EXPECT_EQ(n_counted_, 3) << "only the first part was run";
  // What else the device computes does not touch what the parts keep.
  testing::Gemm gemm;
  const auto region = make_region(testing::Gemm::kTotal);
  const auto import = device_->import(*region, {0, testing::Gemm::kTotal});
  ASSERT_TRUE(import && gemm.build(*device_, *import));
  ASSERT_TRUE(gemm.graph().run());
  ASSERT_TRUE(graph_->run_parts(1, 2));
  EXPECT_EQ(output(), (std::array<float, 4>{21, 5, 7, 9}));
  set(5);
  ASSERT_TRUE(graph_->run_parts(0, 2));
  EXPECT_EQ(output(), (std::array<float, 4>{11, 5, 7, 9}));
}

TEST_F(GraphParts, AreCancelledLikeARun) {
  set(1);
  std::atomic<bool> cancel{false};
  on_count_ = [&] { cancel = true; };
  const auto result = graph_->run_parts(0, 2, &cancel);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::cancelled);
  EXPECT_EQ(n_counted_, 1) << "the second part was run";
  on_count_ = nullptr;
  cancel = false;
  set(1);
  ASSERT_TRUE(graph_->run_parts(0, 2, &cancel));
  EXPECT_EQ(output(), (std::array<float, 4>{3, 5, 7, 9}));
}

TEST_F(GraphTest, AnErrorOfTheBuildComesBack) {
  const auto graph = Graph::create(*device_, 16, [](Graph&, ggml_context*, ggml_cgraph*) -> Result<void> {
    return fail(ErrorCode::incompatible, "The model does not fit.");
  });
  ASSERT_FALSE(graph);
  EXPECT_EQ(graph.error().code, ErrorCode::incompatible);
  EXPECT_EQ(graph.error().message, "The model does not fit.");
}

TEST_F(GraphTest, ScratchThatDoesNotFitIsOutOfMemory) {
  const auto graph = Graph::create(*device_, 16, [](Graph&, ggml_context* context, ggml_cgraph* nodes) -> Result<void> {
    ggml_tensor* huge = ggml_new_tensor_1d(context, GGML_TYPE_F32, std::int64_t{1} << 58);
    ggml_build_forward_expand(nodes, ggml_scale(context, huge, 2));
    return {};
  });
  ASSERT_FALSE(graph);
  EXPECT_EQ(graph.error().code, ErrorCode::out_of_memory);
}

TEST_F(GraphTest, OperatorsWithoutAKernelAreUnsupported) {
  const auto device = create_null_device(std::make_shared<NullDeviceControl>(NullDeviceOptions{.host_kernels = false}));
  ASSERT_TRUE(device);
  const auto build = [](Graph&, ggml_context* context, ggml_cgraph* nodes) -> Result<void> {
    ggml_tensor* a = ggml_new_tensor_1d(context, GGML_TYPE_F16, 4);
    ggml_build_forward_expand(
        nodes, ggml_map_custom1(context, a, [](ggml_tensor*, const ggml_tensor*, int, int, void*) {}, 1, nullptr));
    return {};
  };
  const auto graph = Graph::create(**device, 16, build);
  ASSERT_FALSE(graph);
  EXPECT_EQ(graph.error().code, ErrorCode::unsupported);
  EXPECT_EQ(graph.error().message, "The device (null) cannot compute MAP_CUSTOM1 of (f16) into f16.");
  EXPECT_TRUE(Graph::create(*device_, 16, build)) << "the CPU runs it on host threads";
}

TEST_F(GraphTest, AGraphWithoutMemoryIsRefusedNotRun) {
  ggml_context* const context = ggml_init({.mem_size = 1 << 20, .mem_buffer = nullptr, .no_alloc = true});
  ggml_cgraph* const nodes = ggml_new_graph(context);
  ggml_tensor* const a = ggml_set_name(ggml_new_tensor_1d(context, GGML_TYPE_F32, 4), "lonely");
  ggml_build_forward_expand(nodes, ggml_scale(context, a, 2));
  const auto computed = device_->compute(nodes);
  ASSERT_FALSE(computed);
  EXPECT_EQ(computed.error().code, ErrorCode::invalid_argument);
  EXPECT_THAT(computed.error().message, HasSubstr("has no memory"));
  ggml_free(context);
}

}  // namespace
}  // namespace driftwood
