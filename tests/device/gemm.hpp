// A 128 x 128 matrix product of small integers in a Region: exact in f32, so that
// each of its 16384 elements must agree with a plain loop over integers.
#pragma once

#include <ggml.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <random>
#include <vector>

#include "device/graph.hpp"

namespace driftwood::testing {

inline std::unique_ptr<Region> make_region(std::size_t bytes) {
  const std::size_t size = align_up(bytes, page_size());
  auto region = Region::create({.reserve = size, .commit = size, .guard = page_size()});
  EXPECT_TRUE(region) << region.error().to_string();
  return std::move(*region);
}

class Gemm {
 public:
  static constexpr std::size_t kSide = 128;
  static constexpr std::size_t kElements = kSide * kSide;
  static constexpr std::size_t kBytes = kElements * sizeof(float);
  /// Two factors and their product, one after another.
  static constexpr std::size_t kTotal = 3 * kBytes;

  /// A graph over the first kTotal bytes of `import`.
  Result<void> build(Device& device, const Import& import) {
    DW_TRY_ASSIGN(graph_, Graph::create(device, 16, [&](Graph& graph, ggml_context* context, ggml_cgraph* nodes) {
                    a_ = ggml_new_tensor_2d(context, GGML_TYPE_F32, kSide, kSide);
                    b_ = ggml_new_tensor_2d(context, GGML_TYPE_F32, kSide, kSide);
                    c_ = ggml_mul_mat(context, a_, b_);
                    ggml_build_forward_expand(nodes, c_);
                    return bind(graph, import);
                  }));
    return {};
  }

  /// Moves the product to other memory.
  Result<void> rebind(const Import& import) { return bind(*graph_, import); }
  Result<void> run() { return graph_->run(); }
  Graph& graph() { return *graph_; }

  /// Writes factors through the host's view.
  static void fill(std::byte* memory, unsigned seed) {
    std::mt19937 random(seed);
    auto* const values = reinterpret_cast<float*>(memory);
    for (std::size_t i = 0; i < 2 * kElements; ++i)
      values[i] = static_cast<float>(static_cast<int>(random() % 33) - 16);
    for (std::size_t i = 2 * kElements; i < 3 * kElements; ++i) values[i] = -1e9F;
  }

  /// Elements of the product, read through the host's view, that are not exactly right.
  static std::size_t errors(const std::byte* memory) {
    const auto* const a = reinterpret_cast<const float*>(memory);
    const float* const b = a + kElements;
    const float* const c = b + kElements;
    std::size_t wrong = 0;
    for (std::size_t n = 0; n < kSide; ++n) {
      for (std::size_t m = 0; m < kSide; ++m) {
        std::int64_t sum = 0;
        for (std::size_t k = 0; k < kSide; ++k) {
          sum += static_cast<std::int64_t>(a[m * kSide + k]) * static_cast<std::int64_t>(b[n * kSide + k]);
        }
        if (c[n * kSide + m] != static_cast<float>(sum)) ++wrong;
      }
    }
    return wrong;
  }

 private:
  Result<void> bind(Graph& graph, const Import& import) {
    DW_TRY(graph.bind(a_, import, 0));
    DW_TRY(graph.bind(b_, import, kBytes));
    return graph.bind(c_, import, 2 * kBytes);
  }

  std::unique_ptr<Graph> graph_;
  ggml_tensor* a_ = nullptr;
  ggml_tensor* b_ = nullptr;
  ggml_tensor* c_ = nullptr;
};

}  // namespace driftwood::testing
