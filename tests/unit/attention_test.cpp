// The CPU's attention operator against a plain one in double precision.
#include "device/cpu/attention.hpp"

#include <ggml-cpu.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include "core/handle.hpp"
#include "device/cpu/attention_kernels.hpp"

namespace driftwood::cpu {
namespace {

using Context = Handle<ggml_context, ggml_free>;

struct Case {
  std::uint32_t n_head = 9, n_head_kv = 3, head_dim = 64;
  std::uint32_t n_past = 0, n = 1;
  ggml_type type = GGML_TYPE_F16;
  std::uint32_t window = 0;
  float softcap = 0.0F;
  int threads = 2;
  std::vector<std::uint32_t> cuts = {};  // where the sequence is cut into spans
};

/// A sequence's records with random rows, queries, and what comes out.
class Sequence {
 public:
  explicit Sequence(const Case& c) : case_(c), random_(c.n_past * 31 + c.n) {
    row_elements_ = std::size_t{c.n_head_kv} * c.head_dim;
    row_bytes_ = ggml_row_size(c.type, static_cast<std::int64_t>(row_elements_));
    stride_ = (kLayers * 2 * row_bytes_ + 63) / 64 * 64;
    const std::uint32_t all = c.n_past + c.n;
    records_.resize(all * stride_);
    keys_ = normal(all * row_elements_);
    values_ = normal(all * row_elements_);
    queries_ = normal(std::size_t{c.n} * c.n_head * c.head_dim);
    for (std::uint32_t t = 0; t < c.n_past; ++t) store(t);

    state_.token_stride = stride_;
    state_.type = c.type;
    state_.n_past = c.n_past;
    state_.pass = records_.data() + c.n_past * stride_;
    std::uint32_t begin = 0;
    for (const std::uint32_t cut : c.cuts) {
      state_.spans.push_back({records_.data() + begin * stride_, cut - begin});
      begin = cut;
    }
    state_.spans.push_back({records_.data() + begin * stride_, all - begin});
    node_ = {&state_,     kLayer * 2 * row_bytes_,
             row_bytes_,  c.n_head,
             c.n_head_kv, c.head_dim,
             c.window,    1.0F / std::sqrt(static_cast<float>(c.head_dim)),
             c.softcap};
  }

  std::vector<float> run() {
    const Context context(ggml_init({std::size_t{64} << 20, nullptr, false}));
    const auto tensor = [&](const float* data, std::uint32_t heads) {
      ggml_tensor* made = ggml_new_tensor_3d(context.get(), GGML_TYPE_F32, case_.head_dim, heads, case_.n);
      std::memcpy(made->data, data, ggml_nbytes(made));
      return made;
    };
    ggml_tensor* q = tensor(queries_.data(), case_.n_head);
    ggml_tensor* k = tensor(keys_.data() + case_.n_past * row_elements_, case_.n_head_kv);
    ggml_tensor* v = tensor(values_.data() + case_.n_past * row_elements_, case_.n_head_kv);
    ggml_tensor* out = attention(context.get(), q, store_kv(context.get(), k, v, &node_), &node_);
    ggml_cgraph* graph = ggml_new_graph(context.get());
    ggml_build_forward_expand(graph, out);
    EXPECT_EQ(ggml_graph_compute_with_ctx(context.get(), graph, case_.threads), GGML_STATUS_SUCCESS);
    const auto* data = static_cast<const float*>(out->data);
    return {data, data + ggml_nelements(out)};
  }

  /// Softmax attention as the textbook has it, over the rows as they were rounded on storing.
  std::vector<double> reference() const {
    const Case& c = case_;
    const std::uint32_t group = c.n_head / c.n_head_kv;
    std::vector<double> out;
    for (std::uint32_t i = 0; i < c.n; ++i) {
      const std::uint32_t position = c.n_past + i;
      const std::uint32_t begin = c.window != 0 && position >= c.window ? position + 1 - c.window : 0;
      for (std::uint32_t h = 0; h < c.n_head; ++h) {
        const float* q = queries_.data() + (std::size_t{i} * c.n_head + h) * c.head_dim;
        std::vector<double> weights;
        std::vector<double> sum(c.head_dim, 0.0);
        double total = 0.0;
        for (std::uint32_t t = begin; t <= position; ++t) {
          const std::vector<float> k = rounded(t, 0, h / group);
          double score = 0.0;
          for (std::uint32_t d = 0; d < c.head_dim; ++d) score += double{q[d]} * double{k[d]};
          score /= std::sqrt(double{static_cast<double>(c.head_dim)});
          if (c.softcap != 0.0F) score = c.softcap * std::tanh(score / c.softcap);
          weights.push_back(std::exp(score));
          total += weights.back();
        }
        for (std::uint32_t t = begin; t <= position; ++t) {
          const std::vector<float> v = rounded(t, row_bytes_, h / group);
          for (std::uint32_t d = 0; d < c.head_dim; ++d) sum[d] += weights[t - begin] * double{v[d]} / total;
        }
        out.insert(out.end(), sum.begin(), sum.end());
      }
    }
    return out;
  }

 private:
  static constexpr std::size_t kLayers = 3;
  static constexpr std::size_t kLayer = 1;

  std::vector<float> normal(std::size_t n) {
    std::normal_distribution<float> distribution;
    std::vector<float> x(n);
    std::generate(x.begin(), x.end(), [&] { return distribution(random_); });
    return x;
  }

  void store(std::uint32_t t) {
    std::byte* into = records_.data() + t * stride_ + kLayer * 2 * row_bytes_;
    const auto convert = ggml_get_type_traits_cpu(case_.type)->from_float;
    convert(keys_.data() + t * row_elements_, into, static_cast<std::int64_t>(row_elements_));
    convert(values_.data() + t * row_elements_, into + row_bytes_, static_cast<std::int64_t>(row_elements_));
  }

  std::vector<float> rounded(std::uint32_t t, std::size_t offset, std::uint32_t kv_head) const {
    const std::byte* row = records_.data() + t * stride_ + kLayer * 2 * row_bytes_ + offset;
    std::vector<float> all(row_elements_);
    ggml_get_type_traits(case_.type)->to_float(row, all.data(), static_cast<std::int64_t>(row_elements_));
    const auto begin = all.begin() + std::ptrdiff_t{kv_head} * case_.head_dim;
    return {begin, begin + case_.head_dim};
  }

  Case case_;
  std::mt19937 random_;
  std::size_t row_elements_ = 0, row_bytes_ = 0, stride_ = 0;
  std::vector<std::byte> records_;
  std::vector<float> keys_, values_, queries_;
  KvState state_;
  AttentionNode node_;
};

double largest_difference(const std::vector<float>& a, const std::vector<double>& b) {
  double largest = a.size() == b.size() ? 0.0 : 1e9;
  for (std::size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    largest = std::max(largest, std::isfinite(a[i]) ? std::abs(double{a[i]} - b[i]) : 1e9);
  }
  return largest;
}

void expect_close(const Case& c) {
  Sequence sequence(c);
  const std::vector<float> got = sequence.run();
  EXPECT_LT(largest_difference(got, sequence.reference()), 5e-5)
      << "heads " << c.n_head << "/" << c.n_head_kv << " of " << c.head_dim << ", " << c.n << " after " << c.n_past
      << ", type " << ggml_type_name(c.type) << ", window " << c.window << ", softcap " << c.softcap;
}

TEST(Attention, AgreesWithPlainSoftmaxForOneQueryAtAnyLength) {
  for (const std::uint32_t n_past : {0U, 1U, 4U, 62U, 63U, 64U, 65U, 127U, 128U, 300U, 1000U}) {
    expect_close({.n_past = n_past});
  }
}

TEST(Attention, AgreesWithPlainSoftmaxForManyQueries) {
  for (const std::uint32_t n_past : {0U, 1U, 63U, 64U, 100U, 200U}) {
    for (const std::uint32_t n : {2U, 7U, 31U, 32U, 33U, 70U}) expect_close({.n_past = n_past, .n = n});
  }
}

TEST(Attention, AgreesWithPlainSoftmaxForEveryShapeOfHeads) {
  for (const std::uint32_t head_dim : {32U, 64U, 80U + 16U, 128U, 256U}) {
    for (const std::uint32_t group : {1U, 2U, 3U, 4U, 5U, 7U, 8U}) {
      for (const std::uint32_t n : {1U, 37U}) {
        expect_close({.n_head = 2 * group, .n_head_kv = 2, .head_dim = head_dim, .n_past = 90, .n = n});
      }
    }
  }
}

TEST(Attention, ReadsQuantizedRows) {
  for (const std::uint32_t n : {1U, 40U}) expect_close({.n_past = 150, .n = n, .type = GGML_TYPE_Q8_0});
}

TEST(Attention, SeesTheSlidingWindowAlone) {
  for (const std::uint32_t window : {1U, 5U, 64U, 100U}) {
    for (const std::uint32_t n_past : {0U, 3U, 64U, 130U, 257U}) {
      for (const std::uint32_t n : {1U, 33U, 80U}) expect_close({.n_past = n_past, .n = n, .window = window});
    }
  }
}

TEST(Attention, CapsScores) {
  for (const std::uint32_t n : {1U, 40U}) {
    expect_close({.n_past = 150, .n = n, .window = 70, .softcap = 0.5F});
    expect_close({.n_past = 20, .n = n, .softcap = 50.0F});
  }
}

TEST(Attention, DoesNotDependOnThreads) {
  for (const std::uint32_t n : {1U, 50U}) {
    const std::vector<float> alone = Sequence({.n_past = 500, .n = n, .threads = 1}).run();
    EXPECT_EQ(alone, Sequence({.n_past = 500, .n = n, .threads = 2}).run());
    EXPECT_EQ(alone, Sequence({.n_past = 500, .n = n, .threads = 5}).run());
  }
}

TEST(Attention, DoesNotDependOnHowTheSequenceIsCut) {
  for (const std::uint32_t n : {1U, 50U}) {
    const std::vector<float> whole = Sequence({.n_past = 500, .n = n}).run();
    EXPECT_EQ(whole, Sequence({.n_past = 500, .n = n, .cuts = {1, 2, 100, 260, 500}}).run());
    EXPECT_EQ(whole, Sequence({.n_past = 500, .n = n, .cuts = {64, 128}}).run());
  }
}

}  // namespace
}  // namespace driftwood::cpu
