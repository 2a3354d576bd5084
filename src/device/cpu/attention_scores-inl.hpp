// Scores of a few queries, with keys read where they lie.
//
// Included by Highway's foreach_target sources only, once for each target.
#if defined(DRIFTWOOD_DEVICE_CPU_ATTENTION_SCORES_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef DRIFTWOOD_DEVICE_CPU_ATTENTION_SCORES_INL
#undef DRIFTWOOD_DEVICE_CPU_ATTENTION_SCORES_INL
#else
#define DRIFTWOOD_DEVICE_CPU_ATTENTION_SCORES_INL
#endif

#include <hwy/highway.h>

#include <cstddef>
#include <cstdint>

#include "device/cpu/attention_kernels.hpp"
#include "device/cpu/attention_rows-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace driftwood::cpu {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// A score is kSums sums s over every kSums-th dimension: t[i] = s[i] + s[i + 4], then t[0] to t[3] added up in order.
constexpr std::uint32_t kSums = 8;
constexpr std::uint32_t kPairs = kSums / 2;

#if HWY_TARGET == HWY_SCALAR
template <std::uint32_t kRows, typename Row>
HWY_INLINE void score_rows(const ChunkRows& rows, const ChunkRows*, std::size_t offset, const float* q,
                           std::uint32_t head_dim, float* scores) {
  const Float d;
  for (std::uint32_t t = 0; t < rows.n; ++t) {
    const Row key{rows.keys[t] + offset};
    for (std::uint32_t r = 0; r < kRows; ++r) {
      Vec score = hn::Zero(d);
      for (std::uint32_t i = 0; i < kPairs; ++i) {
        Vec sums[2] = {hn::Zero(d), hn::Zero(d)};
        for (std::uint32_t j = i; j < head_dim; j += kPairs) {
          Vec& sum = sums[j / kPairs % 2];
          sum = hn::MulAdd(hn::LoadU(d, q + r * head_dim + j), key.load(j), sum);
        }
        const Vec pair = hn::Add(sums[0], sums[1]);
        score = i == 0 ? pair : hn::Add(score, pair);
      }
      hn::StoreU(score, d, scores + r * kChunk + t);
    }
  }
}
#else
/// Adds up kPairs partial sums of kLanes tokens' scores: vector i has those of tokens i, i + 4, ...
HWY_INLINE Vec add_pairs(const Vec* sums) {
  const Float d;
  const hn::Repartition<double, Float> pairs;
  const auto low01 = hn::BitCast(pairs, hn::InterleaveLower(d, sums[0], sums[1]));
  const auto high01 = hn::BitCast(pairs, hn::InterleaveUpper(d, sums[0], sums[1]));
  const auto low23 = hn::BitCast(pairs, hn::InterleaveLower(d, sums[2], sums[3]));
  const auto high23 = hn::BitCast(pairs, hn::InterleaveUpper(d, sums[2], sums[3]));
  const Vec first = hn::BitCast(d, hn::InterleaveLower(pairs, low01, low23));
  const Vec second = hn::BitCast(d, hn::InterleaveUpper(pairs, low01, low23));
  const Vec third = hn::BitCast(d, hn::InterleaveLower(pairs, high01, high23));
  const Vec fourth = hn::BitCast(d, hn::InterleaveUpper(pairs, high01, high23));
  return hn::Add(hn::Add(hn::Add(first, second), third), fourth);
}

// Two vectors at a time have kSums dimensions of every kPairs-th of kLanes tokens: where a vector has room for all of a
// token's, or of two tokens', these change between the two; else each has half of a token's.

/// A query's for one of the two.
HWY_INLINE Vec load_query(const float* q, std::size_t half) {
  const Float d;
  if constexpr (kLanes == 4) {
    return hn::LoadU(d, q + half * kPairs);
  } else if constexpr (kLanes == 8) {
    return hn::LoadU(d, q);
  } else {
    const hn::Half<Float> eight;
    return hn::Combine(d, hn::LoadU(eight, q), hn::LoadU(eight, q));
  }
}

/// The keys' for one of the two.
template <typename Row>
HWY_INLINE Vec load_keys(const std::byte* const* tokens, std::size_t offset, std::size_t dimension, std::size_t half) {
  const auto key = [&](std::size_t number) HWY_ATTR { return Row{tokens[number * kPairs] + offset}; };
  if constexpr (kLanes == 4) {
    return key(0).load(dimension + half * kPairs);
  } else if constexpr (kLanes == 8) {
    return key(half).load(dimension);
  } else {
    const hn::Half<Float> eight;
    return hn::Combine(Float(), key(half + 2).load(dimension, eight), key(half).load(dimension, eight));
  }
}

/// t of the tokens, in their order, from their s in two vectors.
HWY_INLINE Vec add_halves(Vec first, Vec second) {
  if constexpr (kLanes == 4) {
    return hn::Add(first, second);
  } else {
    return hn::Add(hn::OddEvenBlocks(second, first), hn::SwapAdjacentBlocks(hn::OddEvenBlocks(first, second)));
  }
}

/// scores[r][t] = q[r] . k[t] for kRows rows, straight from the chunk; those from rows.n on mean nothing.
template <std::uint32_t kRows, typename Row>
HWY_INLINE void score_rows(const ChunkRows& rows, const ChunkRows* next, std::size_t offset, const float* q,
                           std::uint32_t head_dim, float* scores) {
  const Float d;
  // Pairs of vectors whose sums are kept in registers for all rows, beside queries and keys.
  constexpr std::uint32_t kAtOnce = kManyRegisters || kRows < 4 ? 2 : 1;
  const std::uint32_t n_next = next == nullptr ? 0 : next->n;
  for (std::uint32_t begin = 0; begin < rows.n; begin += kLanes) {
    const std::byte* const* tokens = rows.keys + begin;
    const std::byte* padded[kLanes];
    if (rows.n - begin < kLanes) {
      for (std::uint32_t t = 0; t < kLanes; ++t) padded[t] = rows.keys[HWY_MIN(begin + t, rows.n - 1)];
      tokens = padded;
    }
    for (std::uint32_t t = begin + kLanes; t < HWY_MIN(begin + 2 * kLanes, rows.n); ++t) {
      prefetch<CacheLevel::first>(rows.keys[t] + offset, Row::bytes(head_dim));
    }
    for (std::uint32_t t = begin; t < HWY_MIN(begin + kLanes, n_next); ++t) {
      prefetch<CacheLevel::second>(next->keys[t] + offset, Row::bytes(head_dim));
      prefetch<CacheLevel::second>(rows.keys[HWY_MIN(t, rows.n - 1)] + rows.row_bytes + offset, Row::bytes(head_dim));
    }
    Vec pairs[kRows][kPairs];
    HWY_UNROLL(4)
    for (std::uint32_t token = 0; token < kPairs; token += kAtOnce) {
      Vec sums[kAtOnce][2][kRows];
      HWY_UNROLL(4)
      for (std::uint32_t i = 0; i < kAtOnce; ++i) {
        HWY_UNROLL(4)
        for (std::uint32_t r = 0; r < kRows; ++r) sums[i][0][r] = sums[i][1][r] = hn::Zero(d);
      }
      for (std::size_t dimension = 0; dimension < head_dim; dimension += kSums) {
        Vec queries[2][kRows];
        HWY_UNROLL(4)
        for (std::uint32_t r = 0; r < kRows; ++r) {
          HWY_UNROLL(4)
          for (std::size_t half = 0; half < 2; ++half) {
            queries[half][r] = load_query(q + r * head_dim + dimension, half);
          }
        }
        HWY_UNROLL(4)
        for (std::uint32_t i = 0; i < kAtOnce; ++i) {
          HWY_UNROLL(4)
          for (std::size_t half = 0; half < 2; ++half) {
            const Vec keys = load_keys<Row>(tokens + token + i, offset, dimension, half);
            HWY_UNROLL(4)
            for (std::uint32_t r = 0; r < kRows; ++r) {
              sums[i][half][r] = hn::MulAdd(queries[half][r], keys, sums[i][half][r]);
            }
          }
        }
      }
      HWY_UNROLL(4)
      for (std::uint32_t i = 0; i < kAtOnce; ++i) {
        HWY_UNROLL(4)
        for (std::uint32_t r = 0; r < kRows; ++r) pairs[r][token + i] = add_halves(sums[i][0][r], sums[i][1][r]);
      }
    }
    HWY_UNROLL(4)
    for (std::uint32_t r = 0; r < kRows; ++r) hn::StoreU(add_pairs(pairs[r]), d, scores + r * kChunk + begin);
  }
}
#endif

}  // namespace HWY_NAMESPACE
}  // namespace driftwood::cpu
HWY_AFTER_NAMESPACE();

#endif
