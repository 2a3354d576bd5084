// The loops of attention, of every target, against a plain softmax in double precision.
#include <ggml-cpu.h>
#include <ggml.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "device/cpu/attention_kernels.hpp"
#include "kernel_targets.hpp"

namespace driftwood::cpu {
namespace {

constexpr float kUntouched = 12345.0F;

/// Results of `n` query rows, as attend_chunk() and merge_partials() write them.
struct Results {
  Results(std::uint32_t rows, std::uint32_t dims)
      : n(rows), head_dim(dims), floats(std::size_t{rows} * (dims + 2) + 1, kUntouched) {}
  Partials partials() { return partials_at(floats.data(), n, head_dim); }
  static Partials partials_at(float* at, std::uint32_t rows, std::uint32_t dims) {
    float* maximum = at + std::size_t{rows} * dims;
    return {at, maximum, maximum + rows};
  }

  std::uint32_t n, head_dim;
  std::vector<float> floats;  ///< values, maxima, sums, and one that nobody writes
};

struct Case {
  std::uint32_t head_dim = 64;
  ggml_type type = GGML_TYPE_F16;
  std::uint32_t n_tokens = kChunk;
  std::uint32_t n_rows = 3;
  float softcap = 0.0F;
};

std::string name_of(const Case& c) {
  return std::to_string(c.n_rows) + " rows of " + std::to_string(c.head_dim) + " over " + std::to_string(c.n_tokens) +
         " tokens of " + ggml_type_name(c.type) + ", softcap " + std::to_string(c.softcap);
}

class AttentionTarget : public KernelTargetTest {
 protected:
  static constexpr std::uint32_t kHeads = 2;
  static constexpr std::uint32_t kHead = 1;  // the one that queries read

  /// Random K and V rows of `n_tokens`, and queries of which each sees other tokens.
  void make(const Case& c) {
    case_ = c;
    const std::size_t elements = std::size_t{kHeads} * c.head_dim;
    row_bytes_ = ggml_row_size(c.type, static_cast<std::int64_t>(elements));
    stride_ = 2 * row_bytes_ + 6;
    records_.assign(c.n_tokens * stride_, std::byte{0x7c});
    keys_.clear();
    values_.clear();
    for (std::uint32_t t = 0; t < c.n_tokens; ++t) {
      store(t, 0, elements, keys_);
      store(t, row_bytes_, elements, values_);
    }
    queries_ = normal_numbers(std::size_t{c.n_rows} * c.head_dim, 7);
    for (float& q : queries_) q *= 2.0F / std::sqrt(static_cast<float>(c.head_dim));
  }

  ChunkRows chunk(std::uint32_t begin, std::uint32_t end) const {
    ChunkRows rows;
    rows.n = end - begin;
    rows.row_bytes = row_bytes_;
    rows.type = case_.type;
    for (std::uint32_t t = begin; t < end; ++t) rows.keys[t - begin] = records_.data() + t * stride_;
    return rows;
  }

  /// Rows [row, row + n) attend to tokens [begin, end), each to those in its own part of the chunk.
  void attend(std::uint32_t begin, std::uint32_t end, std::uint32_t row, std::uint32_t n,
              const std::vector<std::uint32_t>& first, const std::vector<std::uint32_t>& last,
              const Partials& into) const {
    const ChunkRows rows = chunk(begin, end);
    std::vector<float> scratch(chunk_scratch_floats(n, case_.head_dim));
    const QueryRows queries{queries_.data() + std::size_t{row} * case_.head_dim, n, first.data() + row,
                            last.data() + row};
    const HeadShape shape{case_.head_dim, case_.softcap};
    attend_chunk(rows, &rows, kHead, shape, queries, scratch.data(), into);
  }

  /// Row `row`'s results have to be the softmax over tokens [begin, end).
  void expect_softmax(const Results& results, std::uint32_t row, std::uint32_t begin, std::uint32_t end) const {
    const std::uint32_t dims = case_.head_dim;
    const float* got = results.floats.data() + std::size_t{row} * dims;
    const float* statistics = results.floats.data() + std::size_t{results.n} * dims + row;
    const double sum = statistics[results.n];
    if (begin >= end) {
      EXPECT_EQ(sum, 0.0) << name_of(case_) << ", row " << row;
      return;
    }
    std::vector<double> wanted(dims, 0.0);
    double total = 0.0;
    for (std::uint32_t t = begin; t < end; ++t) {
      double score = 0.0;
      for (std::uint32_t d = 0; d < dims; ++d) score += double{queries_[row * dims + d]} * keys_[t * dims + d];
      if (case_.softcap != 0.0F) score = case_.softcap * std::tanh(score / case_.softcap);
      const double weight = std::exp(score);
      total += weight;
      for (std::uint32_t d = 0; d < dims; ++d) wanted[d] += weight * values_[t * dims + d];
    }
    EXPECT_NEAR(statistics[0] + std::log(sum), std::log(total), 1e-5) << name_of(case_) << ", row " << row;
    for (std::uint32_t d = 0; d < dims; ++d) {
      ASSERT_NEAR(got[d] / sum, wanted[d] / total, 1e-5) << name_of(case_) << ", row " << row << ", dimension " << d;
    }
  }

  /// Every kind of a row's part of a chunk: all, its end, its middle, nothing.
  void make_parts(std::uint32_t n_tokens, std::vector<std::uint32_t>& first, std::vector<std::uint32_t>& last) const {
    first.clear();
    last.clear();
    for (std::uint32_t r = 0; r < case_.n_rows; ++r) {
      const std::uint32_t end = r % 5 == 4 ? 0 : n_tokens - r % 3 * (n_tokens / 4);
      first.push_back(r % 4 == 2 ? end / 2 : 0);
      last.push_back(end);
    }
  }

  void expect_chunk() {
    std::vector<std::uint32_t> first, last;
    make_parts(case_.n_tokens, first, last);
    Results results(case_.n_rows, case_.head_dim);
    attend(0, case_.n_tokens, 0, case_.n_rows, first, last, results.partials());
    for (std::uint32_t r = 0; r < case_.n_rows; ++r) expect_softmax(results, r, first[r], last[r]);
    EXPECT_EQ(results.floats.back(), kUntouched);
  }

  Case case_;
  std::size_t row_bytes_ = 0, stride_ = 0;
  std::vector<std::byte> records_;
  std::vector<float> keys_, values_;  ///< of kHead, as stored
  std::vector<float> queries_;

 private:
  void store(std::uint32_t t, std::size_t offset, std::size_t elements, std::vector<float>& as_stored) {
    const std::vector<float> row = normal_numbers(elements, 2 * t + (offset == 0 ? 0U : 1U));
    std::vector<std::byte> bytes(row_bytes_);
    ggml_get_type_traits_cpu(case_.type)->from_float(row.data(), bytes.data(), static_cast<std::int64_t>(elements));
    std::memcpy(records_.data() + t * stride_ + offset, bytes.data(), row_bytes_);
    std::vector<float> rounded(elements);
    ggml_get_type_traits(case_.type)->to_float(bytes.data(), rounded.data(), static_cast<std::int64_t>(elements));
    as_stored.insert(as_stored.end(), rounded.begin() + std::ptrdiff_t{kHead} * case_.head_dim, rounded.end());
  }
};

constexpr ggml_type kTypes[] = {GGML_TYPE_F16, GGML_TYPE_Q8_0};

TEST_P(AttentionTarget, OfAChunkIsAPlainSoftmaxForAnyNumberOfQueriesAndTokens) {
  for (const ggml_type type : kTypes) {
    for (const std::uint32_t n_rows : {1U, 2U, 3U, 4U, 5U, 8U, 9U, 13U, 48U}) {
      for (const std::uint32_t n_tokens : {1U, 5U, 31U, 33U, kChunk}) {
        make({.type = type, .n_tokens = n_tokens, .n_rows = n_rows});
        expect_chunk();
      }
    }
  }
}

TEST_P(AttentionTarget, OfAChunkIsAPlainSoftmaxForAnyHeadAndSoftcap) {
  for (const ggml_type type : kTypes) {
    for (const std::uint32_t head_dim : {32U, 64U, 96U, 128U, 160U, kMaxHeadDim}) {
      for (const std::uint32_t n_rows : {3U, 14U}) {
        for (const float softcap : {0.0F, 0.5F, 30.0F}) {
          make({.head_dim = head_dim, .type = type, .n_tokens = 61, .n_rows = n_rows, .softcap = softcap});
          expect_chunk();
        }
      }
    }
  }
}

TEST_P(AttentionTarget, ARowsBitsDoNotDependOnTheOthers) {
  for (const ggml_type type : kTypes) {
    for (const std::uint32_t head_dim : {32U, 96U, 128U}) {
      make({.head_dim = head_dim, .type = type, .n_tokens = 50, .n_rows = 23, .softcap = 3.0F});
      std::vector<std::uint32_t> first, last;
      make_parts(case_.n_tokens, first, last);
      Results together(case_.n_rows, head_dim);
      attend(0, case_.n_tokens, 0, case_.n_rows, first, last, together.partials());
      for (const std::uint32_t n : {1U, 2U, 3U, 4U, 7U, 8U, 9U, 20U}) {
        for (const std::uint32_t row : {0U, 2U, 3U}) {
          Results few(n, head_dim);
          attend(0, case_.n_tokens, row, n, first, last, few.partials());
          for (std::uint32_t r = 0; r < n; ++r) {
            ASSERT_EQ(few.partials().sum[r], together.partials().sum[row + r]) << name_of(case_) << ", " << n;
            if (few.partials().sum[r] == 0.0F) continue;
            ASSERT_EQ(few.partials().maximum[r], together.partials().maximum[row + r]) << name_of(case_) << ", " << n;
            const float* a = few.partials().values + std::size_t{r} * head_dim;
            const float* b = together.partials().values + std::size_t{row + r} * head_dim;
            ASSERT_TRUE(std::equal(a, a + head_dim, b)) << name_of(case_) << ", row " << row + r << " of " << n;
          }
        }
      }
    }
  }
}

TEST_P(AttentionTarget, MergedChunksAreASoftmaxOverAllOfThemInAnyNumberOfSteps) {
  constexpr std::uint32_t kTokens = 3;  // of a chunk, so that many are quick
  for (const std::uint32_t head_dim : {32U, 64U, 96U, 256U}) {
    for (const std::uint32_t n_chunks : {1U, 5U, 64U, 67U}) {
      make({.head_dim = head_dim, .n_tokens = kTokens * n_chunks, .n_rows = 4});
      // Row 0 sees all, row 1 nothing of some chunks, row 2 the first chunk alone, row 3 nothing at all.
      const auto sees = [&](std::uint32_t row, std::uint32_t of) {
        return row == 0 || (row == 1 && of >= n_chunks / 3) || (row == 2 && of == 0);
      };
      const std::size_t stride = Results(4, head_dim).floats.size() + 3;
      std::vector<float> found(n_chunks * stride, kUntouched);
      for (std::uint32_t i = 0; i < n_chunks; ++i) {
        std::vector<std::uint32_t> last;
        for (std::uint32_t row = 0; row < 4; ++row) last.push_back(sees(row, i) ? kTokens : 0);
        attend(kTokens * i, kTokens * (i + 1), 0, 4, std::vector<std::uint32_t>(4, 0), last,
               Results::partials_at(found.data() + i * stride, 4, head_dim));
      }
      const auto merge = [&](std::uint32_t step) {
        Results into(4, head_dim);
        std::fill(into.floats.begin(), into.floats.end() - 1, 0.0F);
        for (std::uint32_t i = 0; i < n_chunks; i += step) {
          merge_partials(4, head_dim, Results::partials_at(found.data() + i * stride, 4, head_dim), stride,
                         std::min(step, n_chunks - i), into.partials());
        }
        EXPECT_EQ(into.floats.back(), kUntouched);
        return into;
      };
      const Results merged = merge(n_chunks);
      expect_softmax(merged, 0, 0, case_.n_tokens);
      expect_softmax(merged, 1, n_chunks / 3 * kTokens, case_.n_tokens);
      expect_softmax(merged, 2, 0, kTokens);
      expect_softmax(merged, 3, 0, 0);
      EXPECT_EQ(merge(1).floats, merged.floats) << n_chunks << " chunks of heads of " << head_dim;
      EXPECT_EQ(merge(7).floats, merged.floats) << n_chunks << " chunks of heads of " << head_dim;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Targets, AttentionTarget, ::testing::ValuesIn(hwy::SupportedAndGeneratedTargets()),
                         name_of_target);

}  // namespace
}  // namespace driftwood::cpu
