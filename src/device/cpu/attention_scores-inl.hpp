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

#if HWY_TARGET == HWY_SCALAR
template <std::uint32_t kRows, typename Row>
HWY_INLINE void score_rows(const ChunkRows& rows, const ChunkRows*, std::size_t offset, const float* q,
                           std::uint32_t head_dim, float* scores) {
  const Float d;
  for (std::uint32_t t = 0; t < rows.n; ++t) {
    const Row key{rows.keys[t] + offset};
    for (std::uint32_t r = 0; r < kRows; ++r) {
      Vec score = hn::Zero(d);
      for (std::uint32_t i = 0; i < kHalfSums; ++i) {
        Vec sums[2] = {hn::Zero(d), hn::Zero(d)};
        for (std::uint32_t j = i; j < head_dim; j += kHalfSums) {
          Vec& sum = sums[j / kHalfSums % 2];
          sum = hn::MulAdd(hn::LoadU(d, q + r * head_dim + j), key.load(j), sum);
        }
        const Vec h = hn::Add(sums[0], sums[1]);
        score = i == 0 ? h : hn::Add(score, h);
      }
      hn::StoreU(score, d, scores + r * kChunk + t);
    }
  }
}
#else
/// Adds up the half sums h of kLanes tokens: vector i has all four of tokens i, i + 4, ...
HWY_INLINE Vec add_up(Vec (&h)[kHalfSums]) {
  const Float d;
  transpose_quads(d, h);
  return hn::Add(hn::Add(hn::Add(h[0], h[1]), h[2]), h[3]);
}

// Dimensions are multiplied kSums at a time, of the tokens that lie in one vector of half sums, by two vectors:
//   4 lanes: token 0, the first four of its dimensions | the other four
//   8 lanes: token 0                                   | token 4
//  16 lanes: tokens 0 and 8                            | tokens 4 and 12

/// What a query has in vector `half` of the two.
HWY_INLINE Vec load_query(const float* q, std::size_t half) {
  const Float d;
  if constexpr (kLanes == 4) {
    return hn::LoadU(d, q + half * kHalfSums);
  } else if constexpr (kLanes == 8) {
    return hn::LoadU(d, q);
  } else {
    const hn::Half<Float> eight;
    return hn::Combine(d, hn::LoadU(eight, q), hn::LoadU(eight, q));
  }
}

/// What keys have there; `tokens` begins with token 0.
template <typename Row>
HWY_INLINE Vec load_keys(const std::byte* const* tokens, std::size_t offset, std::size_t dimension, std::size_t half) {
  const auto key = [&](std::size_t number) HWY_ATTR { return Row{tokens[number * kHalfSums] + offset}; };
  if constexpr (kLanes == 4) {
    return key(0).load(dimension + half * kHalfSums);
  } else if constexpr (kLanes == 8) {
    return key(half).load(dimension);
  } else {
    const hn::Half<Float> eight;
    return hn::Combine(Float(), key(half + 2).load(dimension, eight), key(half).load(dimension, eight));
  }
}

/// Their sums s in two vectors become the tokens' half sums h, in order.
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
    Vec h[kRows][kHalfSums];
    HWY_UNROLL(4)
    for (std::uint32_t token = 0; token < kHalfSums; token += kAtOnce) {
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
        for (std::uint32_t r = 0; r < kRows; ++r) h[r][token + i] = add_halves(sums[i][0][r], sums[i][1][r]);
      }
    }
    HWY_UNROLL(4)
    for (std::uint32_t r = 0; r < kRows; ++r) hn::StoreU(add_up(h[r]), d, scores + r * kChunk + begin);
  }
}
#endif

}  // namespace HWY_NAMESPACE
}  // namespace driftwood::cpu
HWY_AFTER_NAMESPACE();

#endif
