// Every tensor op through dw_tensor_run on the CPU, against plain loops in double precision.
#include <ggml.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "device/device.hpp"
#include "support/fake_guest.hpp"
#include "support/tensor_list.hpp"

namespace driftwood {
namespace {

using test::FakeGuest;
using test::OpParameters;
using test::Shape;
using test::TensorList;
using testing::HasSubstr;

std::size_t count(const Shape& ne) { return std::size_t{ne[0]} * ne[1] * ne[2] * ne[3]; }

std::vector<float> random_floats(std::size_t n, unsigned seed) {
  std::mt19937 generator(seed);
  std::uniform_real_distribution<float> uniform(-1.0F, 1.0F);
  std::vector<float> values(n);
  for (float& value : values) value = uniform(generator);
  return values;
}

std::vector<ggml_fp16_t> to_f16(const std::vector<float>& values) {
  std::vector<ggml_fp16_t> halves(values.size());
  ggml_fp32_to_fp16_row(values.data(), halves.data(), static_cast<std::int64_t>(values.size()));
  return halves;
}

std::vector<float> from_f16(const std::vector<ggml_fp16_t>& halves) {
  std::vector<float> values(halves.size());
  ggml_fp16_to_fp32_row(halves.data(), values.data(), static_cast<std::int64_t>(halves.size()));
  return values;
}

// The largest difference between what was computed and what should be.
double worst(const std::vector<float>& got, const std::vector<double>& want) {
  EXPECT_EQ(got.size(), want.size());
  double most = 0;
  for (std::size_t i = 0; i < got.size() && i < want.size(); ++i) {
    const double difference = std::abs(got[i] - want[i]);
    if (!(difference <= most)) most = difference;  // a NaN counts, too
  }
  return most;
}

class TensorOps : public testing::Test {
 protected:
  void SetUp() override {
    device_ = open_device("cpu", {.threads = 2}).value();
    GuestHostOptions options;
    options.device = device_.get();
    guest_ = std::make_unique<FakeGuest>(std::move(options), 4 * kMiB);
  }
  void TearDown() override { guest_.reset(); }

  std::uint32_t f32(const std::vector<float>& values, Shape ne, Shape nb = {}) {
    return list_.tensor(guest_->put(values), DW_TYPE_F32, ne, nb);
  }
  std::uint32_t f16(const std::vector<float>& values, Shape ne) {
    return list_.tensor(guest_->put(to_f16(values)), DW_TYPE_F16, ne);
  }
  std::uint32_t i32(const std::vector<std::int32_t>& values, Shape ne) {
    return list_.tensor(guest_->put(values), DW_TYPE_I32, ne);
  }
  std::uint32_t result(Shape ne, std::uint32_t type = DW_TYPE_F32) {
    return list_.tensor(guest_->allocate(count(ne) * 4), type, ne);
  }
  std::int32_t try_run() {
    const std::uint32_t tensors = guest_->put(list_.tensors);
    const std::uint32_t ops = guest_->put(list_.ops);
    return guest_->call("tensor_run", {tensors, static_cast<std::uint32_t>(list_.tensors.size()), ops,
                                       static_cast<std::uint32_t>(list_.ops.size())});
  }
  void run() { ASSERT_EQ(try_run(), DW_OK) << guest_->last_error(); }
  std::vector<float> read(std::uint32_t tensor) {
    const dw_tensor& record = list_.tensors[tensor];
    return guest_->get<float>(record.data, count({record.ne[0], record.ne[1], record.ne[2], record.ne[3]}));
  }

  std::unique_ptr<Device> device_;
  std::unique_ptr<FakeGuest> guest_;
  TensorList list_;
};

// [k, m] x [k, n] -> [m, n]
std::vector<double> plain_matmul(const std::vector<float>& a, const std::vector<float>& b, std::size_t k, std::size_t m,
                                 std::size_t n) {
  std::vector<double> product(m * n);
  for (std::size_t j = 0; j < n; ++j) {
    for (std::size_t i = 0; i < m; ++i) {
      for (std::size_t x = 0; x < k; ++x) product[j * m + i] += double{a[i * k + x]} * b[j * k + x];
    }
  }
  return product;
}

TEST_F(TensorOps, MatmulOfWholeNumbersIsExact) {
  constexpr std::size_t kN = 128;
  std::vector<float> a(kN * kN);
  std::vector<float> b(kN * kN);
  for (std::size_t i = 0; i < a.size(); ++i) {
    a[i] = static_cast<float>(i * 7 % 13) - 6.0F;
    b[i] = static_cast<float>(i * 5 % 11) - 5.0F;
  }
  const auto ta = f32(a, {kN, kN, 1, 1});
  const auto tb = f32(b, {kN, kN, 1, 1});
  const auto product = result({kN, kN, 1, 1});
  list_.op(DW_OP_MATMUL, product, {ta, tb});
  run();
  EXPECT_EQ(worst(read(product), plain_matmul(a, b, kN, kN, kN)), 0.0);
}

TEST_F(TensorOps, MatmulBroadcastsItsFirstSourceOverHeads) {
  const auto a = random_floats(16 * 3 * 2, 1);
  const auto b = random_floats(16 * 5 * 4, 2);
  const auto ta = f32(a, {16, 3, 2, 1});
  const auto tb = f32(b, {16, 5, 4, 1});
  const auto product = result({3, 5, 4, 1});
  list_.op(DW_OP_MATMUL, product, {ta, tb});
  run();
  const auto got = read(product);
  for (std::size_t head = 0; head < 4; ++head) {
    const std::vector<float> ha(a.begin() + static_cast<std::ptrdiff_t>(head / 2 * 48),
                                a.begin() + static_cast<std::ptrdiff_t>(head / 2 * 48 + 48));
    const std::vector<float> hb(b.begin() + static_cast<std::ptrdiff_t>(head * 80),
                                b.begin() + static_cast<std::ptrdiff_t>(head * 80 + 80));
    const std::vector<float> part(got.begin() + static_cast<std::ptrdiff_t>(head * 15),
                                  got.begin() + static_cast<std::ptrdiff_t>(head * 15 + 15));
    EXPECT_LT(worst(part, plain_matmul(ha, hb, 16, 3, 5)), 1e-5);
  }
}

struct WeightCase {
  std::uint32_t type;
  double tolerance;  ///< what the activations lose: f16 and q8 rounding over 256 products
};
class TensorOpsOfWeights : public TensorOps, public testing::WithParamInterface<WeightCase> {
 protected:
  // Weights as their type holds them, and what they are worth.
  std::pair<std::uint32_t, std::vector<float>> weights(Shape ne) {
    const auto type = static_cast<ggml_type>(GetParam().type);
    const auto values = random_floats(count(ne), 3);
    std::vector<std::byte> packed(ggml_row_size(type, ne[0]) * ne[1]);
    ggml_quantize_chunk(type, values.data(), packed.data(), 0, ne[1], ne[0], nullptr);
    std::vector<float> worth(values.size());
    if (type == GGML_TYPE_F32) {
      worth = values;
    } else {
      ggml_get_type_traits(type)->to_float(packed.data(), worth.data(), static_cast<std::int64_t>(values.size()));
    }
    return {list_.tensor(guest_->put(packed), GetParam().type, ne), worth};
  }
};

TEST_P(TensorOpsOfWeights, MatmulAgreesWithPlainLoops) {
  const auto [weight, worth] = weights({256, 24, 1, 1});
  const auto x = random_floats(256 * 3, 4);
  const auto tx = f32(x, {256, 3, 1, 1});
  const auto product = result({24, 3, 1, 1});
  list_.op(DW_OP_MATMUL, product, {weight, tx});
  run();
  EXPECT_LT(worst(read(product), plain_matmul(worth, x, 256, 24, 3)), GetParam().tolerance);
}

TEST_P(TensorOpsOfWeights, GetRowsGivesWhatTheRowsAreWorth) {
  const auto [weight, worth] = weights({256, 24, 1, 1});
  const auto indices = i32({23, 0, 7, 7}, {4, 1, 1, 1});
  const auto rows = result({256, 4, 1, 1});
  list_.op(DW_OP_GET_ROWS, rows, {weight, indices});
  run();
  std::vector<double> want;
  for (const std::size_t row : {23, 0, 7, 7}) {
    want.insert(want.end(), worth.begin() + static_cast<std::ptrdiff_t>(row * 256),
                worth.begin() + static_cast<std::ptrdiff_t>(row * 256 + 256));
  }
  EXPECT_EQ(worst(read(rows), want), 0.0);
}

INSTANTIATE_TEST_SUITE_P(
    Types, TensorOpsOfWeights,
    testing::Values(WeightCase{DW_TYPE_F32, 1e-4}, WeightCase{DW_TYPE_F16, 0.02}, WeightCase{DW_TYPE_Q4_0, 0.2},
                    WeightCase{DW_TYPE_Q4_1, 0.2}, WeightCase{DW_TYPE_Q5_0, 0.2}, WeightCase{DW_TYPE_Q5_1, 0.2},
                    WeightCase{DW_TYPE_Q8_0, 0.2}, WeightCase{DW_TYPE_Q2_K, 0.2}, WeightCase{DW_TYPE_Q3_K, 0.2},
                    WeightCase{DW_TYPE_Q4_K, 0.2}, WeightCase{DW_TYPE_Q5_K, 0.2}, WeightCase{DW_TYPE_Q6_K, 0.2}),
    [](const auto& given) { return std::string(ggml_type_name(static_cast<ggml_type>(given.param.type))); });

TEST_F(TensorOps, AddAndMulRepeatTheSecondSource) {
  const auto a = random_floats(8 * 3, 5);
  const auto b = random_floats(8, 6);
  const auto ta = f32(a, {8, 3, 1, 1});
  const auto tb = f32(b, {8, 1, 1, 1});
  const auto sum = result({8, 3, 1, 1});
  const auto product = result({8, 3, 1, 1});
  list_.op(DW_OP_ADD, sum, {ta, tb});
  list_.op(DW_OP_MUL, product, {ta, tb});
  run();
  std::vector<double> sums;
  std::vector<double> products;
  for (std::size_t i = 0; i < a.size(); ++i) {
    sums.push_back(double{a[i]} + b[i % 8]);
    products.push_back(double{a[i]} * b[i % 8]);
  }
  EXPECT_LT(worst(read(sum), sums), 1e-6);
  EXPECT_LT(worst(read(product), products), 1e-6);
}

TEST_F(TensorOps, RmsNormIsWrittenEvenWhereTheNextOpScalesIt) {
  const auto a = random_floats(64 * 3, 7);
  const auto weight = random_floats(64, 8);
  const auto ta = f32(a, {64, 3, 1, 1});
  const auto tw = f32(weight, {64, 1, 1, 1});
  const auto norm = result({64, 3, 1, 1});
  const auto scaled = result({64, 3, 1, 1});
  list_.op(DW_OP_RMS_NORM, norm, {ta}, {.f = {1e-5F}});
  list_.op(DW_OP_MUL, scaled, {norm, tw});
  run();
  std::vector<double> norms(a.size());
  std::vector<double> scales(a.size());
  for (std::size_t row = 0; row < 3; ++row) {
    double squares = 0;
    for (std::size_t i = 0; i < 64; ++i) squares += double{a[row * 64 + i]} * a[row * 64 + i];
    for (std::size_t i = 0; i < 64; ++i) {
      norms[row * 64 + i] = a[row * 64 + i] / std::sqrt(squares / 64 + 1e-5);
      scales[row * 64 + i] = norms[row * 64 + i] * weight[i];
    }
  }
  EXPECT_LT(worst(read(norm), norms), 1e-5);
  EXPECT_LT(worst(read(scaled), scales), 1e-5);
}

TEST_F(TensorOps, RopeTurnsPairsOfBothKinds) {
  constexpr std::size_t kDim = 16, kHeads = 2, kTokens = 3, kRotated = 12;
  const std::vector<std::int32_t> positions = {0, 5, 4095};
  for (const std::int32_t kind : {DW_ROPE_NORMAL, DW_ROPE_NEOX}) {
    list_ = {};
    const auto a = random_floats(kDim * kHeads * kTokens, 9);
    const auto ta = f32(a, {kDim, kHeads, kTokens, 1});
    const auto tp = i32(positions, {kTokens, 1, 1, 1});
    const auto turned = result({kDim, kHeads, kTokens, 1});
    list_.op(DW_OP_ROPE, turned, {ta, tp}, {.i = {kRotated, kind}, .f = {10000.0F, 0.5F}});
    run();
    std::vector<double> want(a.begin(), a.end());
    for (std::size_t row = 0; row < kHeads * kTokens; ++row) {
      for (std::size_t pair = 0; pair < kRotated / 2; ++pair) {
        const double angle =
            0.5 * positions[row / kHeads] * std::pow(10000.0, -2.0 * static_cast<double>(pair) / kRotated);
        const std::size_t x = row * kDim + (kind == DW_ROPE_NEOX ? pair : 2 * pair);
        const std::size_t y = kind == DW_ROPE_NEOX ? x + kRotated / 2 : x + 1;
        want[x] = a[x] * std::cos(angle) - a[y] * std::sin(angle);
        want[y] = a[x] * std::sin(angle) + a[y] * std::cos(angle);
      }
    }
    EXPECT_LT(worst(read(turned), want), 1e-3) << kind;
  }
}

TEST_F(TensorOps, SoftMaxTakesAScaleAndAMask) {
  const auto a = random_floats(7 * 3 * 2, 10);
  auto mask = random_floats(7 * 3, 11);
  mask[2] = -INFINITY;
  const auto ta = f32(a, {7, 3, 2, 1});
  const auto tm = f32(mask, {7, 3, 1, 1});
  const auto soft = result({7, 3, 2, 1});
  list_.op(DW_OP_SOFT_MAX, soft, {ta, tm}, {.f = {3.0F}});
  run();
  std::vector<double> want(a.size());
  for (std::size_t row = 0; row < 6; ++row) {
    double sum = 0;
    for (std::size_t i = 0; i < 7; ++i) sum += std::exp(3.0 * a[row * 7 + i] + mask[row % 3 * 7 + i]);
    for (std::size_t i = 0; i < 7; ++i) {
      want[row * 7 + i] = std::exp(3.0 * a[row * 7 + i] + mask[row % 3 * 7 + i]) / sum;
    }
  }
  EXPECT_LT(worst(read(soft), want), 1e-5);
  EXPECT_EQ(read(soft)[2], 0.0F);
}

TEST_F(TensorOps, ActivationsAndScaleAgreeWithTheirFormulas) {
  const auto a = random_floats(100, 12);
  const auto ta = f32(a, {50, 2, 1, 1});
  const auto silu = result({50, 2, 1, 1});
  const auto gelu = result({50, 2, 1, 1});
  const auto scaled = result({50, 2, 1, 1});
  list_.op(DW_OP_SILU, silu, {ta});
  list_.op(DW_OP_GELU, gelu, {ta});
  list_.op(DW_OP_SCALE, scaled, {ta}, {.f = {2.0F, -3.0F}});
  run();
  std::vector<double> silus, gelus, scales;
  for (const double x : a) {
    silus.push_back(x / (1 + std::exp(-x)));
    gelus.push_back(0.5 * x * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x))));
    scales.push_back(2 * x - 3);
  }
  EXPECT_LT(worst(read(silu), silus), 1e-5);
  EXPECT_LT(worst(read(gelu), gelus), 2e-3);  // by a table over f16
  EXPECT_LT(worst(read(scaled), scales), 1e-5);
}

TEST_F(TensorOps, ElementwiseOpsWorkInPlace) {
  const auto a = random_floats(64, 13);
  const auto ta = f32(a, {64, 1, 1, 1});
  list_.op(DW_OP_SCALE, ta, {ta}, {.f = {2.0F, 0.0F}});
  list_.op(DW_OP_ADD, ta, {ta, f32(a, {64, 1, 1, 1})});
  run();
  std::vector<double> want;
  for (const double x : a) want.push_back(3 * x);
  EXPECT_LT(worst(read(ta), want), 1e-6);
}

TEST_F(TensorOps, CpyConvertsAndFollowsStrides) {
  const auto a = random_floats(8 * 3, 14);
  const auto ta = f32(a, {8, 3, 1, 1});
  const auto halves = result({8, 3, 1, 1}, DW_TYPE_F16);
  const std::uint32_t spread = guest_->allocate(3 * 64);
  const auto back = list_.tensor(spread, DW_TYPE_F32, {8, 3, 1, 1}, {4, 64, 192, 192});
  list_.op(DW_OP_CPY, halves, {ta});
  list_.op(DW_OP_CPY, back, {halves});
  run();
  const auto want = from_f16(to_f16(a));
  for (std::uint32_t row = 0; row < 3; ++row) {
    const auto got = guest_->get<float>(spread + row * 64, 16);
    for (std::size_t i = 0; i < 8; ++i) EXPECT_EQ(got[i], want[row * 8 + i]);
    for (std::size_t i = 8; i < 16; ++i) EXPECT_EQ(got[i], 0.0F) << "between the rows";
  }
}

struct AttentionCase {
  const char* name;
  std::uint32_t type;
  std::size_t n_tokens, n_kv;
  float softcap;
};
class TensorAttention : public TensorOps, public testing::WithParamInterface<AttentionCase> {};

TEST_P(TensorAttention, AgreesWithPlainLoops) {
  const auto& [name, type, n, n_kv, softcap] = GetParam();
  constexpr std::size_t kDim = 32, kHeads = 4, kKvHeads = 2;
  const float scale = 1.0F / std::sqrt(static_cast<float>(kDim));
  const auto q = random_floats(kDim * n * kHeads, 15);
  const auto k = from_f16(to_f16(random_floats(kDim * n_kv * kKvHeads, 16)));
  const auto v = from_f16(to_f16(random_floats(kDim * n_kv * kKvHeads, 17)));
  std::vector<float> mask(n_kv * n, 0.0F);
  for (std::size_t t = 0; t < n; ++t) {
    for (std::size_t p = n_kv - n + t + 1; p < n_kv; ++p) mask[t * n_kv + p] = -INFINITY;
  }
  const auto u32 = [](std::size_t value) { return static_cast<std::uint32_t>(value); };
  const Shape kv_shape = {kDim, u32(n_kv), kKvHeads, 1};
  const auto tq = f32(q, {kDim, u32(n), kHeads, 1});
  const auto tk = type == DW_TYPE_F16 ? f16(k, kv_shape) : f32(k, kv_shape);
  const auto tv = type == DW_TYPE_F16 ? f16(v, kv_shape) : f32(v, kv_shape);
  const auto tm = f16(mask, {u32(n_kv), u32(n), 1, 1});
  const auto out = result({kDim, kHeads, u32(n), 1});
  list_.op(DW_OP_ATTENTION, out, {tq, tk, tv, tm}, {.f = {scale, softcap}});
  run();

  std::vector<double> want(kDim * kHeads * n);
  for (std::size_t t = 0; t < n; ++t) {
    for (std::size_t head = 0; head < kHeads; ++head) {
      const std::size_t kv_head = head / (kHeads / kKvHeads);
      std::vector<double> weight(n_kv);
      double sum = 0;
      for (std::size_t p = 0; p < n_kv; ++p) {
        double score = 0;
        for (std::size_t d = 0; d < kDim; ++d) {
          score += double{q[(head * n + t) * kDim + d]} * k[(kv_head * n_kv + p) * kDim + d];
        }
        score *= scale;
        if (softcap != 0) score = softcap * std::tanh(score / softcap);
        weight[p] = std::exp(score + mask[t * n_kv + p]);
        sum += weight[p];
      }
      for (std::size_t p = 0; p < n_kv; ++p) {
        for (std::size_t d = 0; d < kDim; ++d) {
          want[(t * kHeads + head) * kDim + d] += weight[p] / sum * v[(kv_head * n_kv + p) * kDim + d];
        }
      }
    }
  }
  EXPECT_LT(worst(read(out), want), 5e-3);
}

INSTANTIATE_TEST_SUITE_P(Shapes, TensorAttention,
                         testing::Values(AttentionCase{"one_token", DW_TYPE_F16, 1, 9, 0.0F},
                                         AttentionCase{"one_token_long", DW_TYPE_F16, 1, 700, 0.0F},
                                         AttentionCase{"few_tokens_f32", DW_TYPE_F32, 5, 9, 0.0F},
                                         AttentionCase{"many_tokens", DW_TYPE_F16, 70, 130, 0.0F},
                                         AttentionCase{"soft_cap", DW_TYPE_F32, 70, 75, 2.0F}),
                         [](const auto& given) { return std::string(given.param.name); });

TEST_F(TensorOps, IndicesAreCheckedAtEachRunOfTheSameRecords) {
  const auto rows = f32(random_floats(32 * 4, 18), {32, 4, 1, 1});
  const auto indices = i32({1, 3}, {2, 1, 1, 1});
  const auto picked = result({32, 2, 1, 1});
  list_.op(DW_OP_GET_ROWS, picked, {rows, indices});
  const std::uint32_t tensors = guest_->put(list_.tensors);
  const std::uint32_t ops = guest_->put(list_.ops);
  const auto again = [&] { return guest_->call("tensor_run", {tensors, 3, ops, 1}); };
  ASSERT_EQ(again(), DW_OK);
  const std::int32_t wrong = 4;
  std::memcpy(guest_->memory().data() + list_.tensors[indices].data, &wrong, sizeof(wrong));
  EXPECT_EQ(again(), DW_E_INVALID_ARGUMENT);
  EXPECT_THAT(guest_->last_error(), HasSubstr("row index 4 at [0, 0, 0]; there are 4 rows"));
  const std::int32_t right = 0;
  std::memcpy(guest_->memory().data() + list_.tensors[indices].data, &right, sizeof(right));
  EXPECT_EQ(again(), DW_OK);
}

TEST_F(TensorOps, TheSameRecordsRunOnAfterTheMemoryGrew) {
  const auto a = f32({1.0F, 2.0F, 3.0F, 4.0F}, {4, 1, 1, 1});
  const auto sum = result({4, 1, 1, 1});
  list_.op(DW_OP_ADD, sum, {a, a});
  run();
  ASSERT_TRUE(guest_->memory().grow(guest_->memory().size() + kMiB));
  list_.tensors[sum].data = guest_->size() - 64;
  run();
  EXPECT_THAT(read(sum), testing::ElementsAre(2.0F, 4.0F, 6.0F, 8.0F));
}

TEST_F(TensorOps, NumbersThatAreNotFiniteDoNotHarm) {
  std::vector<float> a(64, NAN);
  a[1] = INFINITY;
  a[2] = -INFINITY;
  const auto ta = f32(a, {32, 2, 1, 1});
  const auto out = result({32, 2, 1, 1});
  const auto square = result({2, 2, 1, 1});
  for (const std::uint32_t op : {DW_OP_SILU, DW_OP_GELU}) list_.op(op, out, {ta});
  list_.op(DW_OP_RMS_NORM, out, {ta}, {.f = {0.0F}});
  list_.op(DW_OP_SOFT_MAX, out, {ta}, {.f = {1.0F}});
  list_.op(DW_OP_MATMUL, square, {ta, ta});
  run();
}

TEST_F(TensorOps, AnEmptyListIsNothingToDo) {
  run();
  f32({1.0F}, {1, 1, 1, 1});
  run();
}

TEST_F(TensorOps, CancelledListsEndBetweenOps) {
  const auto a = f32(random_floats(64, 19), {64, 1, 1, 1});
  list_.op(DW_OP_SILU, a, {a});
  guest_->host().set_cancelled(true);
  EXPECT_EQ(try_run(), DW_E_CANCELLED);
  guest_->host().set_cancelled(false);
  run();
}

}  // namespace
}  // namespace driftwood
