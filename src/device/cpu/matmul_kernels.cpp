#include "device/cpu/matmul_kernels.hpp"

#include <ggml.h>

#include <cmath>
#include <cstring>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "device/cpu/matmul_kernels.cpp"
#include <hwy/foreach_target.h>  // compiles the rest of this file once for each target
#include <hwy/highway.h>

#include <hwy/contrib/math/math-inl.h>

HWY_BEFORE_NAMESPACE();
namespace driftwood::cpu {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// A lane is a row of the tile, so at most 16 of them.
using Float = hn::CappedTag<float, kTileRows>;
using Int = hn::RebindToSigned<Float>;
using VFloat = hn::Vec<Float>;
using VInt = hn::Vec<Int>;

// Targets that have no product of bytes take a plain loop.
#if HWY_TARGET == HWY_SCALAR || (HWY_ARCH_X86 && HWY_TARGET > HWY_SSSE3)

std::uint32_t quant_at(const ProductArgs& args, const std::byte* tile, std::uint32_t row, std::uint32_t column) {
  const std::uint32_t group = column / 4;
  const std::uint32_t in_line = 4 * row + column % 4;
  if (args.format.bits == 8) return std::to_integer<std::uint32_t>(tile[group * 64 + in_line]);
  return std::to_integer<std::uint32_t>(tile[group / 2 * 64 + in_line]) >> (group % 2 * 4) & 15U;
}

float half_at(const std::byte* halves, std::uint32_t i) {
  ggml_fp16_t half = 0;
  std::memcpy(&half, halves + i * sizeof(half), sizeof(half));
  return ggml_fp16_to_fp32(half);
}

void multiply_row_tile(const ProductArgs& args) {
  for (std::uint32_t token = 0; token < args.n_tokens; ++token) {
    const ActivationRow x{const_cast<std::byte*>(args.activations) + token * args.token_bytes, args.columns};
    for (std::uint32_t row = 0; row < args.n_rows; ++row) {
      float total = 0.0F;
      const std::byte* tile = args.tiles;
      for (std::uint32_t b = 0; b < args.columns / kBlock; ++b, tile += args.format.tile_bytes()) {
        const std::byte* scales = tile + args.format.quant_bytes();
        std::int32_t products = -args.format.zero_point * x.sums()[b];
        for (std::uint32_t c = 0; c < kBlock; ++c) {
          products += static_cast<std::int32_t>(quant_at(args, tile, row, c)) * x.quants()[b * kBlock + c];
        }
        total += static_cast<float>(products) * (half_at(scales, row) * x.scales()[b]);
        if (args.format.has_minimum) total += half_at(scales, kTileRows + row) * x.scaled_sums()[b];
      }
      if (args.add != nullptr) total += args.add[token * args.add_stride + row];
      args.out[token * args.out_stride + row] = total;
    }
  }
}

#else

using Bytes = hn::Repartition<std::uint8_t, Int>;
using SignedBytes = hn::Repartition<std::int8_t, Int>;
using VBytes = hn::Vec<Bytes>;

constexpr std::uint32_t kTokenBlock = 6;  // tokens that share unpacked weights
constexpr std::uint32_t kGroups = kBlock / 4;

// Which instruction multiplies bytes. VNNI is no target of its own in every version of Highway, so
// it is asked for at run time within the AVX-512 targets.
#define DRIFTWOOD_MAY_HAVE_VNNI (HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX3)

HWY_INLINE VInt four_bytes(const std::byte* from) {
  std::int32_t word = 0;
  std::memcpy(&word, from, sizeof(word));
  return hn::Set(Int(), word);
}

/// sum + for each lane the product of its four unsigned bytes with the four signed bytes at `from`.
/// kSmall: the unsigned bytes are below 16. Without VNNI, other bytes are taken less 128.
template <bool kVnni, bool kSmall>
HWY_INLINE VInt dot(VInt sum, VBytes w, const std::byte* from) {
#if DRIFTWOOD_MAY_HAVE_VNNI
  if constexpr (kVnni) {
    // As text, because the compiler may not be told that this target has VNNI.
    asm("vpdpbusd %2%{1to16%}, %1, %0" : "+v"(sum.raw) : "v"(w.raw), "m"(*reinterpret_cast<const int*>(from)));
    return sum;
  }
#endif
#if HWY_ARCH_X86
  const SignedBytes ds;
  const hn::Repartition<std::int16_t, Int> dh;
  auto left = w;
  auto right = hn::BitCast(ds, four_bytes(from));
  if constexpr (!kSmall) {
    // Two products of full bytes overflow 16 bits: multiply magnitudes, and move the sign over.
    const auto centred = hn::BitCast(ds, hn::Xor(w, hn::Set(Bytes(), 0x80)));
    right = hn::IfThenElse(hn::Lt(centred, hn::Zero(ds)), hn::Neg(right), right);
    left = hn::BitCast(Bytes(), hn::Abs(centred));
  }
#if HWY_TARGET <= HWY_AVX3
  const hn::Vec<decltype(dh)> pairs{_mm512_maddubs_epi16(left.raw, right.raw)};
  const VInt quads{_mm512_madd_epi16(pairs.raw, hn::Set(dh, 1).raw)};
#elif HWY_TARGET == HWY_AVX2
  const hn::Vec<decltype(dh)> pairs{_mm256_maddubs_epi16(left.raw, right.raw)};
  const VInt quads{_mm256_madd_epi16(pairs.raw, hn::Set(dh, 1).raw)};
#else
  const hn::Vec<decltype(dh)> pairs{_mm_maddubs_epi16(left.raw, right.raw)};
  const VInt quads{_mm_madd_epi16(pairs.raw, hn::Set(dh, 1).raw)};
#endif
  return hn::Add(sum, quads);
#elif HWY_ARCH_ARM_A64
  int8x16_t left = vreinterpretq_s8_u8(w.raw);
  if constexpr (!kSmall) left = veorq_s8(left, vdupq_n_s8(-128));
  const int8x16_t right = vreinterpretq_s8_s32(four_bytes(from).raw);
  const int16x8_t low = vmull_s8(vget_low_s8(left), vget_low_s8(right));
  const int16x8_t high = vmull_high_s8(left, right);
  return VInt{vaddq_s32(sum.raw, vpaddq_s32(vpaddlq_s16(low), vpaddlq_s16(high)))};
#else
#error "A vector unit without a product of bytes: add it to dot()."
#endif
}

/// What dot() adds beyond the product of (quant - zero_point): the factor of a block's sum.
template <bool kVnni>
HWY_INLINE std::int32_t excess(const TileFormat& format) {
  return kVnni || format.bits == 4 ? format.zero_point : 0;
}

/// The lines of a tile for rows [row, row + lanes), one vector for each group of four columns.
template <std::uint32_t kBits>
HWY_INLINE void load_lines(const std::byte* tile, std::size_t row, VBytes* lines) {
  const Bytes d;
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(tile) + 4 * row;
  if constexpr (kBits == 4) {
    const VBytes mask = hn::Set(d, 15);
    for (std::uint32_t j = 0; j < kGroups / 2; ++j) {
      const VBytes both = hn::LoadU(d, bytes + j * 64);
      lines[2 * j] = hn::And(both, mask);
      const hn::Repartition<std::uint16_t, Int> d16;
      lines[2 * j + 1] = hn::And(hn::BitCast(d, hn::ShiftRight<4>(hn::BitCast(d16, both))), mask);
    }
  } else {
    for (std::uint32_t j = 0; j < kGroups; ++j) lines[j] = hn::LoadU(d, bytes + j * 64);
  }
}

HWY_INLINE VFloat load_halves(const std::byte* halves, std::size_t row) {
  const hn::Rebind<hwy::float16_t, Float> dh;
  return hn::PromoteTo(Float(), hn::LoadU(dh, reinterpret_cast<const hwy::float16_t*>(halves) + row));
}

/// Rows [row, row + lanes) of a tile's products with kTokens tokens.
template <bool kVnni, std::uint32_t kBits, bool kMinimum, std::uint32_t kTokens>
HWY_INLINE void multiply_tokens(const ProductArgs& args, std::size_t row, std::uint32_t token) {
  const Float d;
  const Int di;
  const std::size_t tile_bytes = args.format.tile_bytes();
  const std::size_t quant_bytes = args.format.quant_bytes();
  const std::int32_t bias = excess<kVnni>(args.format);
  const std::uint32_t n_blocks = args.columns / kBlock;
  const std::byte* x = args.activations + token * args.token_bytes;

  VFloat totals[kTokens];
  for (std::uint32_t t = 0; t < kTokens; ++t) totals[t] = hn::Zero(d);
  const std::byte* tile = args.tiles;
  for (std::uint32_t b = 0; b < n_blocks; ++b, tile += tile_bytes) {
    VBytes lines[kGroups];
    load_lines<kBits>(tile, row, lines);
    const VFloat scale = load_halves(tile + quant_bytes, row);
    for (std::uint32_t t = 0; t < kTokens; ++t) {
      const ActivationRow activations{const_cast<std::byte*>(x) + t * args.token_bytes, args.columns};
      const std::byte* quants = activations.data + std::size_t{b} * kBlock;
      VInt even = hn::Set(di, -bias * activations.sums()[b]);
      VInt odd = hn::Zero(di);
      for (std::uint32_t j = 0; j < kGroups; j += 2) {
        even = dot < kVnni, kBits == 4 > (even, lines[j], quants + 4 * j);
        odd = dot < kVnni, kBits == 4 > (odd, lines[j + 1], quants + 4 * j + 4);
      }
      const VFloat products = hn::ConvertTo(d, hn::Add(even, odd));
      totals[t] = hn::MulAdd(products, hn::Mul(scale, hn::Set(d, activations.scales()[b])), totals[t]);
      if constexpr (kMinimum) {
        const VFloat minimum = load_halves(tile + quant_bytes + kTileRows * sizeof(hwy::float16_t), row);
        totals[t] = hn::MulAdd(minimum, hn::Set(d, activations.scaled_sums()[b]), totals[t]);
      }
    }
  }
  const std::size_t lanes = hn::Lanes(d);
  for (std::uint32_t t = 0; t < kTokens; ++t) {
    float* out = args.out + (token + t) * args.out_stride + row;
    const float* add = args.add == nullptr ? nullptr : args.add + (token + t) * args.add_stride + row;
    if (row + lanes <= args.n_rows) {
      hn::StoreU(add == nullptr ? totals[t] : hn::Add(totals[t], hn::LoadU(d, add)), d, out);
    } else {
      alignas(64) float line[kTileRows];
      hn::Store(totals[t], d, line);
      for (std::size_t i = 0; row + i < args.n_rows; ++i) out[i] = line[i] + (add == nullptr ? 0.0F : add[i]);
    }
  }
}

template <bool kVnni, std::uint32_t kBits, bool kMinimum>
HWY_INLINE void multiply_format(const ProductArgs& args) {
  const std::size_t lanes = hn::Lanes(Float());
  for (std::size_t row = 0; row < args.n_rows; row += lanes) {
    std::uint32_t token = 0;
    for (; token + kTokenBlock <= args.n_tokens; token += kTokenBlock) {
      multiply_tokens<kVnni, kBits, kMinimum, kTokenBlock>(args, row, token);
    }
    for (; token + 2 <= args.n_tokens; token += 2) multiply_tokens<kVnni, kBits, kMinimum, 2>(args, row, token);
    for (; token < args.n_tokens; ++token) multiply_tokens<kVnni, kBits, kMinimum, 1>(args, row, token);
  }
}

template <bool kVnni>
void multiply_any_format(const ProductArgs& args) {
  if (args.format.bits == 8) {
    multiply_format<kVnni, 8, false>(args);
  } else if (args.format.has_minimum) {
    multiply_format<kVnni, 4, true>(args);
  } else {
    multiply_format<kVnni, 4, false>(args);
  }
}

void multiply_row_tile(const ProductArgs& args) {
#if DRIFTWOOD_MAY_HAVE_VNNI
  static const bool has_vnni = __builtin_cpu_supports("avx512vnni");
  if (has_vnni) return multiply_any_format<true>(args);
#endif
  multiply_any_format<false>(args);
}

#undef DRIFTWOOD_MAY_HAVE_VNNI
#endif  // a product of bytes

void quantize_row(const float* x, ActivationRow into) {
  const Float d;
  const Int di;
  const hn::Rebind<std::int8_t, Float> d8;
  const std::size_t lanes = hn::Lanes(d);
  for (std::uint32_t b = 0; b < into.columns / kBlock; ++b, x += kBlock) {
    VFloat largest = hn::Zero(d);
    for (std::size_t i = 0; i < kBlock; i += lanes) largest = hn::Max(largest, hn::Abs(hn::LoadU(d, x + i)));
    const float magnitude = hn::GetLane(hn::MaxOfLanes(d, largest));
    const float scale = magnitude / 127.0F;
    const VFloat inverse = hn::Set(d, magnitude == 0.0F ? 0.0F : 127.0F / magnitude);
    VInt sum = hn::Zero(di);
    for (std::size_t i = 0; i < kBlock; i += lanes) {
      const VInt quants = hn::NearestInt(hn::Mul(hn::LoadU(d, x + i), inverse));
      hn::StoreU(hn::DemoteTo(d8, quants), d8, into.quants() + std::size_t{b} * kBlock + i);
      sum = hn::Add(sum, quants);
    }
    const std::int32_t total = hn::GetLane(hn::SumOfLanes(di, sum));
    into.scales()[b] = ggml_fp16_to_fp32(ggml_fp32_to_fp16(scale));
    into.scaled_sums()[b] = ggml_fp16_to_fp32(ggml_fp32_to_fp16(scale * static_cast<float>(total)));
    into.sums()[b] = total;
  }
}

void rms_norm_row(const float* x, const float* weight, float epsilon, std::uint32_t n, float* out) {
  const Float d;
  const std::size_t lanes = hn::Lanes(d);
  VFloat sum = hn::Zero(d);
  std::size_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    const VFloat value = hn::LoadU(d, x + i);
    sum = hn::MulAdd(value, value, sum);
  }
  float squares = hn::GetLane(hn::SumOfLanes(d, sum));
  for (; i < n; ++i) squares += x[i] * x[i];
  const float factor = 1.0F / std::sqrt(squares / static_cast<float>(n) + epsilon);
  for (i = 0; i + lanes <= n; i += lanes) {
    const VFloat normed = hn::Mul(hn::LoadU(d, x + i), hn::Set(d, factor));
    hn::StoreU(hn::Mul(normed, hn::LoadU(d, weight + i)), d, out + i);
  }
  for (; i < n; ++i) out[i] = x[i] * factor * weight[i];
}

void silu_gate_row(const float* gate, const float* up, std::uint32_t n, float* out) {
  const Float d;
  const std::size_t lanes = hn::Lanes(d);
  const VFloat one = hn::Set(d, 1.0F);
  std::size_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    const VFloat g = hn::LoadU(d, gate + i);
    const VFloat silu = hn::Div(g, hn::Add(one, hn::Exp(d, hn::Neg(g))));
    hn::StoreU(hn::Mul(silu, hn::LoadU(d, up + i)), d, out + i);
  }
  for (; i < n; ++i) out[i] = gate[i] / (1.0F + std::exp(-gate[i])) * up[i];
}

}  // namespace HWY_NAMESPACE
}  // namespace driftwood::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace driftwood::cpu {

HWY_EXPORT(multiply_row_tile);
HWY_EXPORT(quantize_row);
HWY_EXPORT(rms_norm_row);
HWY_EXPORT(silu_gate_row);

void multiply_row_tile(const ProductArgs& args) { HWY_DYNAMIC_DISPATCH(multiply_row_tile)(args); }

void quantize_row(const float* x, ActivationRow into) { HWY_DYNAMIC_DISPATCH(quantize_row)(x, into); }

void rms_norm_row(const float* x, const float* weight, float epsilon, std::uint32_t n, float* out) {
  HWY_DYNAMIC_DISPATCH(rms_norm_row)(x, weight, epsilon, n, out);
}

void silu_gate_row(const float* gate, const float* up, std::uint32_t n, float* out) {
  HWY_DYNAMIC_DISPATCH(silu_gate_row)(gate, up, n, out);
}

}  // namespace driftwood::cpu
#endif  // HWY_ONCE
