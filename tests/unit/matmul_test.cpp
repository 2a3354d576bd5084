// Products with packed weights against ggml's own, and against themselves in other batches.
#include "device/cpu/matmul.hpp"

#include <ggml-cpu.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <memory>
#include <random>
#include <vector>

#include "core/handle.hpp"
#include "device/cpu/matmul_kernels.hpp"

namespace driftwood::cpu {
namespace {

class Products : public ::testing::TestWithParam<ggml_type> {
 protected:
  ggml_tensor* random_tensor(ggml_type type, std::int64_t columns, std::int64_t rows, unsigned seed) {
    std::mt19937 random(seed);
    std::normal_distribution<float> normal;
    std::vector<float> values(static_cast<std::size_t>(columns * rows));
    for (float& value : values) value = normal(random);
    ggml_tensor* tensor = ggml_new_tensor_2d(context_.get(), type, columns, rows);
    if (type == GGML_TYPE_F32) {
      std::memcpy(tensor->data, values.data(), ggml_nbytes(tensor));
    } else {
      ggml_quantize_chunk(type, values.data(), tensor->data, 0, rows, columns, nullptr);
    }
    return tensor;
  }

  static bool is_super() { return ggml_blck_size(GetParam()) == kSuperBlock; }
  /// The least number of columns from `columns` on that the type allows.
  static std::int64_t width(std::int64_t columns) {
    const std::int64_t block = ggml_blck_size(GetParam());
    return (columns + block - 1) / block * block;
  }

  /// weight x x by an independent way: ggml's product; for super-blocks, whose right side ggml quantizes in blocks of
  /// 256, the plain product of what both sides' quants stand for.
  std::vector<float> reference(ggml_tensor* weight, ggml_tensor* x) {
    if (!is_super()) return compute(ggml_mul_mat(context_.get(), weight, x));
    const std::int64_t columns = weight->ne[0];
    const auto size = static_cast<std::size_t>(columns);
    std::vector<float> w(size);
    std::vector<float> wanted;
    std::vector<std::byte> quantized(ActivationRow::bytes(static_cast<std::uint32_t>(columns)));
    const ActivationRow activations{quantized.data(), static_cast<std::uint32_t>(columns)};
    for (std::int64_t token = 0; token < x->ne[1]; ++token) {
      quantize_row(static_cast<const float*>(x->data) + token * columns, activations);
      for (std::int64_t row = 0; row < weight->ne[1]; ++row) {
        const auto* bytes = static_cast<const std::byte*>(weight->data) + static_cast<std::size_t>(row) * weight->nb[1];
        ggml_get_type_traits(weight->type)->to_float(bytes, w.data(), columns);
        double sum = 0;
        for (std::size_t i = 0; i < size; ++i) {
          sum += double{w[i]} * activations.quants()[i] * double{activations.scales()[i / kBlock]};
        }
        wanted.push_back(static_cast<float>(sum));
      }
    }
    return wanted;
  }

  std::vector<float> compute(ggml_tensor* result, int threads = 2) {
    ggml_cgraph* graph = ggml_new_graph(context_.get());
    ggml_build_forward_expand(graph, result);
    EXPECT_EQ(ggml_graph_compute_with_ctx(context_.get(), graph, threads), GGML_STATUS_SUCCESS);
    const auto* data = static_cast<const float*>(result->data);
    return {data, data + ggml_nelements(result)};
  }

  MatmulNode& node(std::initializer_list<const ggml_tensor*> weights) {
    nodes_.push_back(std::make_unique<MatmulNode>(&crew_));
    for (const ggml_tensor* weight : weights) {
      storage_.emplace_back(*PackedMatrix::packed_bytes(*weight));
      auto made = PackedMatrix::pack(*weight, storage_.back());
      EXPECT_TRUE(made.has_value());
      packed_.push_back(std::make_unique<PackedMatrix>(std::move(*made)));
      nodes_.back()->weights.push_back(packed_.back().get());
    }
    return *nodes_.back();
  }

  Handle<ggml_context, ggml_free> context_{ggml_init({std::size_t{256} << 20, nullptr, false})};
  Crew crew_{1};
  RowNode row_{.crew = &crew_};
  std::vector<std::vector<std::byte>> storage_;
  std::vector<std::unique_ptr<PackedMatrix>> packed_;
  std::vector<std::unique_ptr<MatmulNode>> nodes_;
};

void expect_near(const std::vector<float>& got, const std::vector<float>& wanted, float tolerance) {
  ASSERT_EQ(got.size(), wanted.size());
  float largest = 0.0F;
  for (const float value : wanted) largest = std::max(largest, std::abs(value));
  for (std::size_t i = 0; i < got.size(); ++i) {
    ASSERT_LE(std::abs(got[i] - wanted[i]), tolerance * largest) << "element " << i << " of " << got.size();
  }
}

TEST_P(Products, AgreeWithTheReferenceForAnyNumberOfTokensAndRows) {
  for (const std::int64_t rows : {1, 15, 16, 64, 100}) {
    for (const std::int64_t n : {1, 2, 5, 6, 13, 50, 97}) {
      ggml_tensor* weight = random_tensor(GetParam(), width(96), rows, 1);
      ggml_tensor* x = random_tensor(GGML_TYPE_F32, width(96), n, 2);
      expect_near(compute(matmul(context_.get(), quantize(context_.get(), x, &row_), &node({weight}))),
                  reference(weight, x), 1e-5F);
    }
  }
}

TEST_P(Products, DoNotDependOnTheBatchNorOnThreads) {
  const std::int64_t columns = width(576);
  ggml_tensor* weight = random_tensor(GetParam(), columns, 200, 3);
  ggml_tensor* x = random_tensor(GGML_TYPE_F32, columns, 61, 4);
  MatmulNode& product = node({weight});
  const auto together = compute(matmul(context_.get(), quantize(context_.get(), x, &row_), &product), 3);
  const auto by_one_and_a_crew = compute(matmul(context_.get(), quantize(context_.get(), x, &row_), &product), 1);
  EXPECT_EQ(by_one_and_a_crew, together);
  for (const std::int64_t token : {0, 7, 60}) {
    ggml_tensor* one =
        ggml_view_2d(context_.get(), x, columns, 1, x->nb[1], static_cast<std::size_t>(token) * x->nb[1]);
    const auto alone = compute(matmul(context_.get(), quantize(context_.get(), one, &row_), &product), 1);
    EXPECT_EQ(alone, std::vector<float>(together.begin() + token * 200, together.begin() + (token + 1) * 200));
  }
}

TEST_P(Products, OfSeveralMatricesFollowOneAnotherAndAdd) {
  ggml_tensor* first = random_tensor(GetParam(), width(64), 40, 5);
  ggml_tensor* second = random_tensor(GetParam(), width(64), 24, 6);
  ggml_tensor* x = random_tensor(GGML_TYPE_F32, width(64), 9, 7);
  ggml_tensor* add = random_tensor(GGML_TYPE_F32, 64, 9, 8);
  const auto a = reference(first, x);
  const auto b = reference(second, x);
  std::vector<float> wanted;
  for (std::size_t token = 0; token < 9; ++token) {
    for (std::size_t row = 0; row < 64; ++row) {
      const float product = row < 40 ? a[token * 40 + row] : b[token * 24 + row - 40];
      wanted.push_back(product + static_cast<const float*>(add->data)[token * 64 + row]);
    }
  }
  expect_near(compute(matmul(context_.get(), quantize(context_.get(), x, &row_), &node({first, second}), add)), wanted,
              1e-5F);
}

TEST_P(Products, AfterNormAndGateAgreeWithTheSeparateOperators) {
  const std::int64_t columns = width(96);
  ggml_tensor* weight = random_tensor(GetParam(), columns, 33, 9);
  ggml_tensor* x = random_tensor(GGML_TYPE_F32, columns, 11, 10);
  ggml_tensor* scale = random_tensor(GGML_TYPE_F32, columns, 1, 11);
  RowNode norm{.epsilon = 1e-5F};
  ggml_tensor* normed = ggml_mul(context_.get(), ggml_rms_norm(context_.get(), x, norm.epsilon), scale);
  MatmulNode& product = node({weight});
  // A value at the border between two quants may fall to either side, hence the tolerance.
  compute(normed);
  expect_near(compute(matmul(context_.get(), rms_norm_quantize(context_.get(), x, scale, &norm), &product)),
              reference(weight, normed), 4e-3F);

  ggml_tensor* gate_up = random_tensor(GGML_TYPE_F32, 2 * columns, 11, 12);
  ggml_tensor* gated = ggml_swiglu(context_.get(), gate_up);
  const auto half = [&](std::size_t offset) {
    return ggml_view_2d(context_.get(), gate_up, columns, 11, gate_up->nb[1], offset * sizeof(float));
  };
  compute(gated);
  const auto up = static_cast<std::size_t>(columns);
  expect_near(compute(matmul(context_.get(), silu_gate_quantize(context_.get(), half(0), half(up), &row_), &product)),
              reference(weight, gated), 4e-3F);
}

/// The bytes [begin, end) of a type's blocks that hold quants and whole-number scales: all but half precision numbers.
std::pair<std::size_t, std::size_t> whole_numbers(ggml_type type) {
  const std::size_t size = ggml_type_size(type);
  switch (type) {
    case GGML_TYPE_Q6_K: return {0, size - 2};
    case GGML_TYPE_Q4_1:
    case GGML_TYPE_Q5_1:
    case GGML_TYPE_Q4_K:
    case GGML_TYPE_Q5_K: return {4, size};
    default: return {2, size};
  }
}

TEST_P(Products, OfExtremeQuantsAreExact) {
  // The largest magnitudes that a file can hold, where 16-bit sums would overflow.
  ggml_tensor* weight = random_tensor(GetParam(), width(64), 16, 13);
  auto* bytes = static_cast<unsigned char*>(weight->data);
  const std::size_t block = ggml_type_size(GetParam());
  const auto [begin, end] = whole_numbers(GetParam());
  for (const int extreme : {0x00, 0x81, 0xff}) {
    for (std::size_t b = 0; b < ggml_nbytes(weight) / block; ++b) {
      std::memset(bytes + b * block + begin, extreme, end - begin);
    }
    ggml_tensor* x = ggml_new_tensor_2d(context_.get(), GGML_TYPE_F32, width(64), 3);
    for (std::int64_t i = 0; i < ggml_nelements(x); ++i) {
      static_cast<float*>(x->data)[i] = i < width(64) ? 1.0F : -1.0F;
    }
    expect_near(compute(matmul(context_.get(), quantize(context_.get(), x, &row_), &node({weight}))),
                reference(weight, x), 1e-5F);
  }
}

TEST(PackedMatrix, RefusesTypesItCannotPack) {
  const Handle<ggml_context, ggml_free> context(ggml_init({std::size_t{1} << 20, nullptr, false}));
  const ggml_tensor* weight = ggml_new_tensor_2d(context.get(), GGML_TYPE_IQ4_XS, 256, 4);
  const auto packed = PackedMatrix::packed_bytes(*weight);
  ASSERT_FALSE(packed.has_value());
  EXPECT_EQ(packed.error().code, ErrorCode::unsupported);
  EXPECT_FALSE(can_pack(GGML_TYPE_IQ4_XS));
}

INSTANTIATE_TEST_SUITE_P(Types, Products,
                         ::testing::Values(GGML_TYPE_Q4_0, GGML_TYPE_Q4_1, GGML_TYPE_Q5_0, GGML_TYPE_Q5_1,
                                           GGML_TYPE_Q8_0, GGML_TYPE_Q4_K, GGML_TYPE_Q5_K, GGML_TYPE_Q6_K),
                         [](const auto& chosen) { return std::string(ggml_type_name(chosen.param)); });

}  // namespace
}  // namespace driftwood::cpu
