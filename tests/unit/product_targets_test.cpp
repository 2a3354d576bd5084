// Packed products and the row operators before them, of every target, against plain loops.
#include <ggml-cpu.h>
#include <ggml.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "core/handle.hpp"
#include "device/cpu/kernel_features.hpp"
#include "device/cpu/matmul_kernels.hpp"
#include "kernel_targets.hpp"

namespace driftwood::cpu {
namespace {

constexpr float kUntouched = 12345.0F;
constexpr std::uint32_t kTokens = 13;

/// Quantized rows of activations, one behind another.
struct Activations {
  Activations(const std::vector<float>& x, std::uint32_t row_columns)
      : columns(row_columns), bytes(x.size() / columns * ActivationRow::bytes(columns)) {
    for (std::uint32_t token = 0; token < x.size() / columns; ++token) {
      quantize_row(x.data() + std::size_t{token} * columns, row(token));
    }
  }
  ActivationRow row(std::uint32_t token) { return {bytes.data() + token * ActivationRow::bytes(columns), columns}; }

  std::uint32_t columns;
  std::vector<std::byte> bytes;
};

/// A row tile of a type's weights, packed, and what products with it should be.
class RowTile {
 public:
  RowTile(ggml_type type, std::uint32_t columns, const std::vector<float>& values) : columns_(columns) {
    weight_ = ggml_new_tensor_2d(context_.get(), type, columns, kTileRows);
    ggml_quantize_chunk(type, values.data(), weight_->data, 0, kTileRows, columns, nullptr);
  }

  /// All bytes of the blocks but their half precision numbers.
  void fill_whole_numbers(int byte) {
    const std::size_t block = ggml_type_size(weight_->type);
    const bool has_minimum = weight_->type == GGML_TYPE_Q4_1 || weight_->type == GGML_TYPE_Q5_1 ||
                             weight_->type == GGML_TYPE_Q4_K || weight_->type == GGML_TYPE_Q5_K;
    const bool halves_are_last = weight_->type == GGML_TYPE_Q6_K;
    const std::size_t halves = has_minimum ? 4 : 2;
    for (std::size_t at = 0; at < ggml_nbytes(weight_); at += block) {
      std::memset(static_cast<std::byte*>(weight_->data) + at + (halves_are_last ? 0 : halves), byte, block - halves);
    }
  }

  void pack() {
    packed_.assign(PackedMatrix::packed_bytes(*weight_).value(), std::byte{});
    ASSERT_TRUE(PackedMatrix::pack(*weight_, packed_));
  }

  /// out[token][kTileRows], of which only the first `n_rows` are written.
  std::vector<float> multiply(const Activations& x, std::uint32_t n_rows, std::uint32_t n_tokens,
                              const std::vector<float>& add, bool vnni) const {
    std::vector<float> out(std::size_t{n_tokens} * kTileRows, kUntouched);
    const PackedMatrix matrix = PackedMatrix::view(*weight_, packed_).value();
    multiply_row_tile({.tiles = matrix.row_tile(0),
                       .format = matrix.format(),
                       .columns = columns_,
                       .n_rows = n_rows,
                       .activations = x.bytes.data(),
                       .token_bytes = ActivationRow::bytes(columns_),
                       .n_tokens = n_tokens,
                       .out = out.data(),
                       .out_stride = kTileRows,
                       .add = add.empty() ? nullptr : add.data(),
                       .add_stride = kTileRows,
                       .vnni = vnni});
    return out;
  }

  struct Product {
    double value = 0;
    double magnitude = 0;  ///< the sum of its terms' magnitudes
  };
  /// [kTokens][kTileRows], by ggml's account of what the weights stand for.
  std::vector<Product> reference(Activations& x) const {
    std::vector<Product> products;
    std::vector<float> w(columns_);
    const bool rounds_sums = weight_->type == GGML_TYPE_Q4_1 || weight_->type == GGML_TYPE_Q5_1;
    for (std::uint32_t token = 0; token < kTokens; ++token) {
      const ActivationRow activations = x.row(token);
      for (std::uint32_t row = 0; row < kTileRows; ++row) {
        const std::byte* blocks = static_cast<const std::byte*>(weight_->data) + row * weight_->nb[1];
        ggml_get_type_traits(weight_->type)->to_float(blocks, w.data(), columns_);
        Product product;
        const auto add = [&](double term) {
          product.value += term;
          product.magnitude += std::abs(term);
        };
        for (std::uint32_t i = 0; i < columns_; ++i) {
          const double scale = activations.scales()[i / kBlock];
          const double minimum = rounds_sums ? minimum_of(blocks, i / kBlock) : 0.0;
          add((double{w[i]} - minimum) * activations.quants()[i] * scale);
          // A minimum is multiplied by the block's rounded sum.
          if (i % kBlock == 0) add(minimum * double{activations.scaled_sums()[i / kBlock]});
        }
        products.push_back(product);
      }
    }
    return products;
  }

 private:
  double minimum_of(const std::byte* blocks, std::uint32_t block) const {
    ggml_fp16_t half = 0;
    std::memcpy(&half, blocks + block * ggml_type_size(weight_->type) + sizeof(half), sizeof(half));
    return ggml_fp16_to_fp32(half);
  }

  Handle<ggml_context, ggml_free> context_{ggml_init({std::size_t{1} << 20, nullptr, false})};
  std::uint32_t columns_;
  ggml_tensor* weight_;
  std::vector<std::byte> packed_;
};

void expect_products(const RowTile& tile, Activations& x, const std::string& of) {
  std::vector<float> add(std::size_t{kTokens} * kTileRows);
  for (std::size_t i = 0; i < add.size(); ++i) add[i] = static_cast<float>(i % 7) - 3.0F;
  const std::vector<RowTile::Product> wanted = tile.reference(x);
  for (const std::uint32_t n_rows : {1U, 7U, kTileRows}) {
    for (const std::uint32_t n_tokens : {1U, 2U, 6U, kTokens}) {
      for (const bool adds : {false, true}) {
        const std::vector<float> none;
        const std::vector<float> got = tile.multiply(x, n_rows, n_tokens, adds ? add : none, true);
        EXPECT_EQ(got, tile.multiply(x, n_rows, n_tokens, adds ? add : none, false)) << of << " without VNNI";
        for (std::size_t i = 0; i < got.size(); ++i) {
          if (i % kTileRows >= n_rows) {
            ASSERT_EQ(got[i], kUntouched) << of << ", row " << i % kTileRows << " of " << n_rows;
            continue;
          }
          const double value = wanted[i].value + (adds ? double{add[i]} : 0.0);
          ASSERT_LE(std::abs(got[i] - value), 1e-6 * (wanted[i].magnitude + std::abs(value)))
              << of << ", row " << i % kTileRows << " of " << n_rows << ", token " << i / kTileRows << " of "
              << n_tokens;
        }
      }
    }
  }
}

constexpr ggml_type kTypes[] = {GGML_TYPE_Q4_0, GGML_TYPE_Q4_1, GGML_TYPE_Q5_0, GGML_TYPE_Q5_1,
                                GGML_TYPE_Q8_0, GGML_TYPE_Q4_K, GGML_TYPE_Q5_K, GGML_TYPE_Q6_K};

using ProductTarget = KernelTargetTest;

TEST_P(ProductTarget, IsTheOneThatRuns) {
  const std::vector<std::string> features = kernel_features();
  EXPECT_EQ(std::ranges::count(features, std::string("highway ") + hwy::TargetName(GetParam())), 1);
}

TEST_P(ProductTarget, AgreesWithPlainSumsForEveryType) {
  for (const ggml_type type : kTypes) {
    for (const std::uint32_t blocks : {1U, 3U}) {
      const std::uint32_t columns = blocks * static_cast<std::uint32_t>(ggml_blck_size(type));
      RowTile tile(type, columns, normal_numbers(std::size_t{columns} * kTileRows, 1));
      tile.pack();
      Activations x(normal_numbers(std::size_t{columns} * kTokens, 2), columns);
      expect_products(tile, x, ggml_type_name(type));
    }
  }
}

TEST_P(ProductTarget, HoldsTheLargestQuantsThatAFileCanHave) {
  for (const ggml_type type : kTypes) {
    const std::uint32_t columns = std::max(64U, static_cast<std::uint32_t>(ggml_blck_size(type)));
    for (const int extreme : {0x00, 0x7f, 0x80, 0x81, 0xff}) {
      RowTile tile(type, columns, normal_numbers(std::size_t{columns} * kTileRows, 3));
      tile.fill_whole_numbers(extreme);
      tile.pack();
      std::vector<float> values(std::size_t{columns} * kTokens);
      for (std::size_t i = 0; i < values.size(); ++i) values[i] = i / columns % 2 == 0 ? 1.0F : -1.0F;
      Activations x(values, columns);
      expect_products(tile, x, ggml_type_name(type) + std::string(" of ") + std::to_string(extreme));
    }
  }
}

TEST_P(ProductTarget, QuantizesToTheNearestAndHalvesToEven) {
  constexpr std::uint32_t kBlocks = 6;
  constexpr std::uint32_t kColumns = kBlocks * kBlock;
  std::vector<float> x = normal_numbers(kColumns, 4);
  std::fill_n(x.begin() + kBlock, kBlock, 0.0F);
  for (std::uint32_t i = 0; i < kBlock; ++i) {
    x[2 * kBlock + i] = static_cast<float>(i) - 15.5F;
    x[3 * kBlock + i] *= 1e4F;
    x[4 * kBlock + i] *= 1e-4F;
    x[5 * kBlock + i] = i % 2 == 0 ? -3.0F : 3.0F;
  }
  x[2 * kBlock + 7] = -127.0F;
  Activations quantized(x, kColumns);
  const ActivationRow row = quantized.row(0);
  for (std::uint32_t b = 0; b < kBlocks; ++b) {
    float magnitude = 0.0F;
    for (std::uint32_t i = 0; i < kBlock; ++i) magnitude = std::max(magnitude, std::abs(x[b * kBlock + i]));
    const float inverse = magnitude == 0.0F ? 0.0F : 127.0F / magnitude;
    std::int32_t sums[2] = {};
    for (std::uint32_t i = 0; i < kBlock; ++i) {
      const auto quant = static_cast<std::int32_t>(std::nearbyint(x[b * kBlock + i] * inverse));
      ASSERT_EQ(row.quants()[b * kBlock + i], quant) << "block " << b << ", column " << i;
      sums[i / (kBlock / 2)] += quant;
    }
    const float scale = magnitude / 127.0F;
    const auto total = static_cast<float>(sums[0] + sums[1]);
    EXPECT_EQ(row.half_sums()[2 * b], sums[0]);
    EXPECT_EQ(row.half_sums()[2 * b + 1], sums[1]);
    EXPECT_EQ(row.scales()[b], ggml_fp16_to_fp32(ggml_fp32_to_fp16(scale)));
    EXPECT_EQ(row.scaled_sums()[b], ggml_fp16_to_fp32(ggml_fp32_to_fp16(scale * total)));
  }
}

TEST_P(ProductTarget, NormsRowsOfAnyLength) {
  for (const std::uint32_t n : {1U, 3U, 4U, 15U, 16U, 31U, 96U, 577U}) {
    const std::vector<float> x = normal_numbers(n, 5);
    const std::vector<float> weight = normal_numbers(n, 6);
    std::vector<float> out(n + 1, kUntouched);
    rms_norm_row(x.data(), weight.data(), 1e-5F, n, out.data());
    double squares = 0;
    for (const float value : x) squares += double{value} * value;
    const double factor = 1.0 / std::sqrt(squares / n + double{1e-5F});
    for (std::uint32_t i = 0; i < n; ++i) {
      const double wanted = x[i] * factor * weight[i];
      ASSERT_NEAR(out[i], wanted, 1e-6 * std::abs(wanted)) << i << " of " << n;
    }
    EXPECT_EQ(out[n], kUntouched);
  }
}

TEST_P(ProductTarget, GatesRowsOfAnyLengthAndSize) {
  for (const std::uint32_t n : {1U, 3U, 4U, 15U, 16U, 31U, 96U, 577U}) {
    std::vector<float> gate = normal_numbers(n, 7);
    const std::vector<float> up = normal_numbers(n, 8);
    const float sizes[] = {0.0F,    1.0F,    10.0F,  -20.0F,  50.0F, 80.0F,  -88.0F, 90.0F,  -100.0F, 150.0F,
                           -178.0F, -180.0F, 200.0F, -400.0F, 1e4F,  -1e10F, 3e38F,  -3e38F, -130.0F};
    for (std::uint32_t i = 0; i < n; i += 2) gate[i] = sizes[i / 2 % std::size(sizes)];
    std::vector<float> out(n + 1, kUntouched);
    silu_gate_row(gate.data(), up.data(), n, out.data());
    for (std::uint32_t i = 0; i < n; ++i) {
      const double wanted = gate[i] / (1.0 + std::exp(-double{gate[i]})) * up[i];
      if (std::abs(wanted) > std::numeric_limits<float>::max()) continue;
      ASSERT_NEAR(out[i], wanted, 2e-6 * std::abs(wanted) + 1e-30) << "gate " << gate[i] << ", " << i << " of " << n;
    }
    EXPECT_EQ(out[n], kUntouched);
  }
}

INSTANTIATE_TEST_SUITE_P(Targets, ProductTarget, ::testing::ValuesIn(hwy::SupportedAndGeneratedTargets()),
                         name_of_target);

}  // namespace
}  // namespace driftwood::cpu
