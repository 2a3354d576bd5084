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
  std::uint32_t branch = 0;              // sequences of one branch have the same rows, all have those before `fork`
  std::uint32_t fork = 0;
};

/// A sequence's records with random rows, and queries.
class Sequence {
 public:
  explicit Sequence(const Case& c) : case_(c) {
    row_elements_ = std::size_t{c.n_head_kv} * c.head_dim;
    row_bytes_ = ggml_row_size(c.type, static_cast<std::int64_t>(row_elements_));
    stride_ = (kLayers * 2 * row_bytes_ + 63) / 64 * 64;
    const std::uint32_t all = c.n_past + c.n;
    records_.resize(all * stride_);
    for (std::uint32_t t = 0; t < all; ++t) {
      append_normal(t, 0, row_elements_, keys_);
      append_normal(t, 1, row_elements_, values_);
      if (t >= c.n_past) append_normal(t, 2, std::size_t{c.n_head} * c.head_dim, queries_);
    }
    for (std::uint32_t t = 0; t < c.n_past; ++t) store(t);

    place_.token_stride = stride_;
    place_.row_bytes = row_bytes_;
    place_.type = c.type;
    place_.n_past = c.n_past;
    place_.n_tokens = c.n;
    place_.pass = records_.data() + c.n_past * stride_;
    std::uint32_t begin = 0;
    for (const std::uint32_t cut : c.cuts) {
      place_.spans.push_back({records_.data() + begin * stride_, cut - begin});
      begin = cut;
    }
    place_.spans.push_back({records_.data() + begin * stride_, all - begin});
  }

  std::vector<float> run() { return run_pass({this}).front(); }

  /// Has its first `n` tokens, which must have the same rows, read where another sequence has them.
  void read_from(const Sequence& other, std::uint32_t n) {
    place_.spans = {{other.records_.data(), n}, {records_.data() + n * stride_, case_.n_past + case_.n - n}};
  }

  /// The results of all sequences in one pass.
  static std::vector<std::vector<float>> run_pass(const std::vector<Sequence*>& sequences) {
    const Case& c = sequences.front()->case_;
    Crew crew(1);  // asked for help where a graph runs on one thread
    KvState state(&crew);
    AttentionNode node{.state = &state,
                       .layer = kLayer,
                       .heads = {c.n_head, c.n_head_kv, c.head_dim},
                       .sliding_window = c.window,
                       .scale = 1.0F / std::sqrt(static_cast<float>(c.head_dim)),
                       .softcap = c.softcap};
    std::vector<float> queries, keys, values;
    for (const Sequence* sequence : sequences) {
      const auto pass = static_cast<std::ptrdiff_t>(sequence->case_.n_past * sequence->row_elements_);
      state.sequences.push_back(sequence->place_);
      queries.insert(queries.end(), sequence->queries_.begin(), sequence->queries_.end());
      keys.insert(keys.end(), sequence->keys_.begin() + pass, sequence->keys_.end());
      values.insert(values.end(), sequence->values_.begin() + pass, sequence->values_.end());
    }
    state.plan(node.heads, {&c.window, 1}, static_cast<std::uint32_t>(c.threads));

    const Context context(ggml_init({std::size_t{128} << 20, nullptr, false}));
    const auto tensor = [&](const std::vector<float>& data, std::uint32_t heads) {
      ggml_tensor* made = ggml_new_tensor_3d(context.get(), GGML_TYPE_F32, c.head_dim, heads,
                                             static_cast<std::int64_t>(data.size() / heads / c.head_dim));
      std::memcpy(made->data, data.data(), ggml_nbytes(made));
      return made;
    };
    ggml_tensor* stored = store_kv(context.get(), tensor(keys, c.n_head_kv), tensor(values, c.n_head_kv), &node);
    ggml_tensor* out = attention(context.get(), tensor(queries, c.n_head), stored, &node);
    ggml_cgraph* graph = ggml_new_graph(context.get());
    ggml_build_forward_expand(graph, out);
    // Twice, as a graph of two layers does, so that what the threads share must be as new after a run.
    std::vector<std::vector<float>> results;
    for (int run = 0; run < 2; ++run) {
      EXPECT_EQ(ggml_graph_compute_with_ctx(context.get(), graph, c.threads), GGML_STATUS_SUCCESS);
    }
    const auto* data = static_cast<const float*>(out->data);
    for (const Sequence* sequence : sequences) {
      results.emplace_back(data, data + sequence->queries_.size());
      data += sequence->queries_.size();
    }
    return results;
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

  void append_normal(std::uint32_t t, std::uint32_t kind, std::size_t n, std::vector<float>& x) const {
    const std::uint32_t branch = t < case_.fork ? 0 : case_.branch;
    std::minstd_rand random((t * 97 + branch) * 3 + kind + 1);
    std::normal_distribution<float> distribution;
    std::generate_n(std::back_inserter(x), n, [&] { return distribution(random); });
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
  std::size_t row_elements_ = 0, row_bytes_ = 0, stride_ = 0;
  std::vector<std::byte> records_;
  std::vector<float> keys_, values_, queries_;
  KvSequence place_;
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
  for (const std::uint32_t n_past : {0U, 1U, 4U, 62U, 63U, 64U, 65U, 127U, 128U, 255U, 256U, 300U, 1000U, 2200U}) {
    for (const int threads : {1, 2}) expect_close({.n_past = n_past, .threads = threads});
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
  for (const std::uint32_t n_past : {500U, 1100U, 1250U, 2300U}) {
    for (const std::uint32_t window : {0U, 1000U}) {
      for (const std::uint32_t n : {1U, 3U, 50U}) {
        const auto with = [&](int threads) {
          return Sequence({.n_past = n_past, .n = n, .window = window, .threads = threads}).run();
        };
        const std::vector<float> alone = with(1);
        EXPECT_EQ(alone, with(2)) << n << " after " << n_past;
        EXPECT_EQ(alone, with(5)) << n << " after " << n_past;
      }
    }
  }
}

TEST(Attention, DoesNotDependOnHowTheSequenceIsCut) {
  for (const std::uint32_t n : {1U, 4U, 50U}) {
    const std::vector<float> whole = Sequence({.n_past = 500, .n = n}).run();
    EXPECT_EQ(whole, Sequence({.n_past = 500, .n = n, .cuts = {1, 2, 100, 260, 500}}).run());
    EXPECT_EQ(whole, Sequence({.n_past = 500, .n = n, .cuts = {64, 128}}).run());
  }
}

TEST(Attention, ATokensBitsDoNotDependOnWhatElseItsPassHas) {
  for (const ggml_type type : {GGML_TYPE_F16, GGML_TYPE_Q8_0}) {
    for (const auto& [window, softcap] : {std::pair(0U, 0.0F), std::pair(70U, 0.0F), std::pair(0U, 3.0F)}) {
      for (const std::uint32_t n_past : {0U, 40U, 130U, 210U}) {
        Case c{.n_past = n_past, .n = 75, .type = type, .window = window, .softcap = softcap};
        const std::vector<float> together = Sequence(c).run();
        const std::size_t row = std::size_t{c.n_head} * c.head_dim;
        for (const auto& [first, n] :
             {std::pair(0U, 1U), std::pair(23U, 1U), std::pair(24U, 2U), std::pair(26U, 31U), std::pair(57U, 5U),
              std::pair(57U, 17U), std::pair(61U, 4U), std::pair(65U, 9U), std::pair(74U, 1U)}) {
          c.n_past = n_past + first;
          c.n = n;
          const auto begin = together.begin() + static_cast<std::ptrdiff_t>(first * row);
          ASSERT_EQ(Sequence(c).run(), std::vector<float>(begin, begin + static_cast<std::ptrdiff_t>(n * row)))
              << n << " tokens from " << c.n_past << ", window " << window << ", softcap " << softcap;
        }
      }
    }
  }
}

TEST(Attention, ATokenWhoseTasksMergeGroupsHasTheBitsOfATile) {
  for (const std::uint32_t window : {0U, 1100U}) {
    Case c{.n_past = 1270, .n = 40, .window = window, .threads = 1};
    const std::vector<float> together = Sequence(c).run();
    const std::size_t row = std::size_t{c.n_head} * c.head_dim;
    for (std::uint32_t i = 0; i < c.n; ++i) {
      const auto begin = together.begin() + static_cast<std::ptrdiff_t>(i * row);
      Case one = c;
      one.n_past += i;
      one.n = 1;
      ASSERT_EQ(Sequence(one).run(), std::vector<float>(begin, begin + static_cast<std::ptrdiff_t>(row)))
          << "token " << one.n_past << ", window " << window;
    }
  }
}

TEST(Attention, SequencesOfAPassDoNotDisturbEachOther) {
  std::vector<Sequence> sequences;
  sequences.reserve(12);
  for (std::uint32_t i = 0; i < 12; ++i) {
    sequences.emplace_back(Case{.n_past = 1 + 61 * i,
                                .n = i % 4 == 3 ? 20 + i : 1 + i % 4,
                                .type = i % 3 == 0 ? GGML_TYPE_Q8_0 : GGML_TYPE_F16,
                                .threads = 3,
                                .branch = i});
  }
  std::vector<Sequence*> all;
  for (Sequence& sequence : sequences) all.push_back(&sequence);
  const auto together = Sequence::run_pass(all);
  for (std::size_t i = 0; i < sequences.size(); ++i) EXPECT_EQ(sequences[i].run(), together[i]) << "sequence " << i;
}

TEST(Attention, ASharedBeginningChangesNoBit) {
  for (const std::uint32_t window : {0U, 100U, 200U}) {
    for (const std::uint32_t shared : {63U, 64U, 200U, 256U, 330U, 520U}) {
      std::vector<Sequence> alone, sharing;
      const std::uint32_t n = 14;
      alone.reserve(n);
      sharing.reserve(n);
      for (std::uint32_t i = 0; i < n; ++i) {
        const Case c{.n_past = shared + 9 * i, .window = window, .branch = 1 + i, .fork = shared};
        alone.emplace_back(c);
        sharing.emplace_back(c);
        // All but two read the first one's rows; one of them only some.
        if (i != 3 && i != 4) sharing[i].read_from(sharing[0], i == 5 ? 61 : shared);
      }
      std::vector<Sequence*> all;
      for (Sequence& sequence : sharing) all.push_back(&sequence);
      const auto together = Sequence::run_pass(all);
      for (std::size_t i = 0; i < n; ++i) {
        ASSERT_EQ(alone[i].run(), together[i]) << "sequence " << i << " of " << shared << " tokens, window " << window;
      }
    }
  }
}

TEST(AttentionPlan, ReadsASharedBeginningOnceForAll) {
  std::vector<std::byte> prefix(1), own(8);
  std::vector<KvSequence> sequences(8);
  for (std::size_t i = 0; i < sequences.size(); ++i) {
    sequences[i].spans = {{prefix.data(), 1000}, {&own[i], 64}};
    sequences[i].n_past = 1020;
  }
  sequences[7].spans.front().tokens = &own[7];
  const AttentionPlan plan = plan_attention(sequences, {9, 3, 64}, 0, 2);
  ASSERT_EQ(plan.groups.size(), 1U);
  EXPECT_EQ(plan.groups[0].members.size(), 7U);
  EXPECT_EQ(plan.groups[0].n_chunks, 1000U / kChunk);
  EXPECT_EQ(plan.pieces[0].first_chunk, 1000U / kChunk);
  EXPECT_EQ(plan.pieces[0].end_chunk, 1020U / kChunk + 1);
  EXPECT_EQ(plan.pieces[7].first_chunk, 0U);
}

TEST(AttentionPlan, SharesAShortPieceOutAmongAllThreadsAlike) {
  std::byte own{};
  const std::vector<KvSequence> sequences = {{.spans = {{&own, 2004}}, .n_past = 2000, .n_tokens = 4}};
  const AttentionPlan plan = plan_attention(sequences, {9, 3, 64}, 0, 2);
  ASSERT_GE(plan.tasks.size(), 4U);
  for (const AttentionTask& task : plan.tasks) EXPECT_LE(task.cost, 2 * plan.tasks.back().cost);
}

TEST(AttentionPlan, TasksMergeWholeGroupsWhereTheyAreLongEnough) {
  std::byte own{};
  const auto plan_of = [&](std::uint32_t n_past, std::uint32_t window) {
    const std::vector<KvSequence> sequences = {{.spans = {{&own, n_past + 1}}, .n_past = n_past}};
    return plan_attention(sequences, {9, 3, 64}, window, 2);
  };
  EXPECT_FALSE(plan_of(1000, 0).pieces[0].by_groups);
  EXPECT_TRUE(plan_of(4096, 0).pieces[0].by_groups);
  EXPECT_EQ(plan_of(4096, 0).n_partials, 65U / kMergeGroup + 1);
  // A window begins within a group.
  const AttentionPlan plan = plan_of(4096, 4096 - 70);
  ASSERT_TRUE(plan.pieces[0].by_groups);
  for (const AttentionTask& task : plan.tasks) {
    EXPECT_TRUE(task.begin == plan.pieces[0].first_chunk || task.begin % kMergeGroup == 0);
  }
}

}  // namespace
}  // namespace driftwood::cpu
