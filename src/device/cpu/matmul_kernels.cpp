#include "device/cpu/matmul_kernels.hpp"

#include <ggml.h>

#include <cstring>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "device/cpu/matmul_kernels.cpp"
#include <hwy/foreach_target.h>  // compiles the rest of this file once for each target
#include <hwy/highway.h>

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

std::uint32_t quant_at(const TileFormat& format, const std::byte* tile, std::uint32_t row, std::uint32_t column) {
  const std::uint32_t group = column / 4;
  const std::uint32_t in_line = 4 * row + column % 4;
  const auto byte = [&](std::uint32_t line) { return std::to_integer<std::uint32_t>(tile[line * 64 + in_line]); };
  if (format.bits == 8) return byte(group);
  const std::uint32_t low = byte(group / 2) >> (group % 2 * 4) & 15U;
  if (format.bits == 4) return low;
  if (format.bits == 5) return low | (byte(4) >> group & 1U) << 4U;
  return low | (byte(4 + group / 4) >> (group % 4 * 2) & 3U) << 4U;
}

float half_at(const std::byte* halves, std::uint32_t i) {
  ggml_fp16_t half = 0;
  std::memcpy(&half, halves + i * sizeof(half), sizeof(half));
  return ggml_fp16_to_fp32(half);
}

/// What one block adds to a row's product.
float block_product(const TileFormat& format, const std::byte* units, const std::byte* tile, std::uint32_t row,
                    const ActivationRow& x, std::uint32_t b) {
  const std::byte* scales = tile + format.quant_bytes();
  std::int32_t halves[2];
  for (std::uint32_t half = 0; half < 2; ++half) {
    halves[half] = -format.zero_point * x.half_sums()[2 * b + half];
    for (std::uint32_t c = half * kBlock / 2; c < (half + 1) * kBlock / 2; ++c) {
      halves[half] += static_cast<std::int32_t>(quant_at(format, tile, row, c)) * x.quants()[b * kBlock + c];
    }
  }
  const auto products = static_cast<float>(halves[0] + halves[1]);
  const float x_scale = x.scales()[b];
  switch (format.scales) {
    case Scales::block: return products * (half_at(scales, row) * x_scale);
    case Scales::block_and_minimum:
      return products * (half_at(scales, row) * x_scale) + half_at(scales, kTileRows + row) * x.scaled_sums()[b];
    case Scales::super: {
      const float scale = half_at(units, row) * static_cast<float>(std::to_integer<std::uint8_t>(scales[row]));
      const float minimum =
          half_at(units, kTileRows + row) * static_cast<float>(std::to_integer<std::uint8_t>(scales[kTileRows + row]));
      return products * (scale * x_scale) -
             minimum * (x_scale * static_cast<float>(x.half_sums()[2 * b] + x.half_sums()[2 * b + 1]));
    }
    case Scales::super_halves: break;
  }
  float sum = 0.0F;
  for (std::uint32_t half = 0; half < 2; ++half) {
    const auto scale = static_cast<float>(std::to_integer<std::int8_t>(scales[half * kTileRows + row]));
    sum += static_cast<float>(halves[half]) * (half_at(units, row) * scale * x_scale);
  }
  return sum;
}

void multiply_row_tile(const ProductArgs& args) {
  const TileFormat& format = args.format;
  for (std::uint32_t token = 0; token < args.n_tokens; ++token) {
    const ActivationRow x{const_cast<std::byte*>(args.activations) + token * args.token_bytes, args.columns};
    for (std::uint32_t row = 0; row < args.n_rows; ++row) {
      float total = 0.0F;
      const std::byte* tile = args.tiles;
      const std::byte* units = tile;
      for (std::uint32_t b = 0; b < args.columns / kBlock; ++b, tile += format.tile_bytes()) {
        if (format.has_super() && b % (kSuperBlock / kBlock) == 0) {
          units = tile;
          tile += format.super_bytes();
        }
        total += block_product(format, units, tile, row, x, b);
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
/// kSmall: the unsigned bytes are below 64. Without VNNI, other bytes are taken less 128.
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

/// What dot() adds beyond the product of (quant - zero_point): the factor of the activations' sum.
template <bool kVnni, TileFormat kFormat>
constexpr std::int32_t kExcess = kVnni || kFormat.bits < 8 ? kFormat.zero_point : 0;

/// `bits` moved to bits 4 and on, and no others. They come from bit 0 and on of each byte, shifted left by `from`.
template <std::uint32_t kFrom, std::uint32_t kMask>
HWY_INLINE VBytes high_bits(VBytes bits) {
  const Bytes d;
  const hn::Repartition<std::uint16_t, Int> d16;
  const auto wide = hn::BitCast(d16, bits);
  const VBytes mask = hn::Set(d, kMask << 4);
  if constexpr (kFrom <= 4) return hn::And(hn::BitCast(d, hn::ShiftLeft<4 - kFrom>(wide)), mask);
  return hn::And(hn::BitCast(d, hn::ShiftRight<(kFrom > 4 ? kFrom - 4 : 0)>(wide)), mask);
}

/// Adds bit 4, or bits 4 and 5, of all groups of columns.
template <std::uint32_t kBits, std::uint32_t kGroup = 0>
HWY_INLINE void add_high_bits(const std::uint8_t* bytes, VBytes* lines) {
  if constexpr (kGroup < kGroups) {
    constexpr std::uint32_t kHigh = kBits - 4;
    constexpr std::uint32_t kInLine = 8 / kHigh;
    const VBytes line = hn::LoadU(Bytes(), bytes + kGroup / kInLine * 64);
    lines[kGroup] = hn::Or(lines[kGroup], high_bits<kGroup % kInLine * kHigh, (1U << kHigh) - 1>(line));
    add_high_bits<kBits, kGroup + 1>(bytes, lines);
  }
}

/// The lines of a tile for rows [row, row + lanes), one vector for each group of four columns.
template <std::uint32_t kBits>
HWY_INLINE void load_lines(const std::byte* tile, std::size_t row, VBytes* lines) {
  const Bytes d;
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(tile) + 4 * row;
  if constexpr (kBits == 8) {
    for (std::uint32_t j = 0; j < kGroups; ++j) lines[j] = hn::LoadU(d, bytes + j * 64);
  } else {
    const VBytes mask = hn::Set(d, 15);
    for (std::uint32_t j = 0; j < kGroups / 2; ++j) {
      const VBytes both = hn::LoadU(d, bytes + j * 64);
      lines[2 * j] = hn::And(both, mask);
      const hn::Repartition<std::uint16_t, Int> d16;
      lines[2 * j + 1] = hn::And(hn::BitCast(d, hn::ShiftRight<4>(hn::BitCast(d16, both))), mask);
    }
    if constexpr (kBits > 4) add_high_bits<kBits>(bytes + kGroups / 2 * 64, lines);
  }
}

HWY_INLINE VFloat load_halves(const std::byte* halves, std::size_t row) {
  const hn::Rebind<hwy::float16_t, Float> dh;
  return hn::PromoteTo(Float(), hn::LoadU(dh, reinterpret_cast<const hwy::float16_t*>(halves) + row));
}

/// One byte for each row, signed or not.
template <typename Byte>
HWY_INLINE VFloat load_bytes(const std::byte* bytes, std::size_t row) {
  const hn::Rebind<Byte, Float> db;
  return hn::ConvertTo(Float(), hn::PromoteTo(Int(), hn::LoadU(db, reinterpret_cast<const Byte*>(bytes) + row)));
}

/// The scales of a tile's rows [row, row + lanes): of the block or of its first half, and its minimum or its second
/// half's scale.
template <Scales kScales>
HWY_INLINE void load_scales(const std::byte* units, const std::byte* scales, std::size_t row, VFloat& first,
                            VFloat& second) {
  constexpr std::size_t kHalves = kTileRows * sizeof(hwy::float16_t);
  if constexpr (kScales == Scales::super) {
    first = hn::Mul(load_halves(units, row), load_bytes<std::uint8_t>(scales, row));
    second = hn::Neg(hn::Mul(load_halves(units + kHalves, row), load_bytes<std::uint8_t>(scales + kTileRows, row)));
  } else if constexpr (kScales == Scales::super_halves) {
    const VFloat unit = load_halves(units, row);
    first = hn::Mul(unit, load_bytes<std::int8_t>(scales, row));
    second = hn::Mul(unit, load_bytes<std::int8_t>(scales + kTileRows, row));
  } else {
    first = load_halves(scales, row);
    if constexpr (kScales == Scales::block_and_minimum) second = load_halves(scales + kHalves, row);
  }
}

/// Rows [row, row + lanes) of a tile's products with kTokens tokens.
template <bool kVnni, TileFormat kFormat, std::uint32_t kTokens>
HWY_INLINE void multiply_tokens(const ProductArgs& args, std::size_t row, std::uint32_t token) {
  const Float d;
  const Int di;
  constexpr Scales kScales = kFormat.scales;
  constexpr bool kSmall = kFormat.bits < 8;
  constexpr std::int32_t kBias = kExcess<kVnni, kFormat>;
  const std::uint32_t n_blocks = args.columns / kBlock;
  const std::byte* x = args.activations + token * args.token_bytes;

  VFloat totals[kTokens];
  for (std::uint32_t t = 0; t < kTokens; ++t) totals[t] = hn::Zero(d);
  const std::byte* tile = args.tiles;
  const std::byte* units = tile;
  for (std::uint32_t b = 0; b < n_blocks; ++b, tile += kFormat.tile_bytes()) {
    if constexpr (kFormat.has_super()) {
      if (b % (kSuperBlock / kBlock) == 0) {
        units = tile;
        tile += kFormat.super_bytes();
      }
    }
    VBytes lines[kGroups];
    load_lines<kFormat.bits>(tile, row, lines);
    VFloat scale;
    VFloat other;
    load_scales<kScales>(units, tile + kFormat.quant_bytes(), row, scale, other);
    for (std::uint32_t t = 0; t < kTokens; ++t) {
      const ActivationRow activations{const_cast<std::byte*>(x) + t * args.token_bytes, args.columns};
      const std::byte* quants = activations.data + std::size_t{b} * kBlock;
      const std::int32_t* sums = activations.half_sums() + std::size_t{2} * b;
      const VFloat x_scale = hn::Set(d, activations.scales()[b]);
      VInt first = hn::Set(di, -kBias * sums[0]);
      VInt second = hn::Set(di, -kBias * sums[1]);
      for (std::uint32_t j = 0; j < kGroups / 2; ++j) {
        first = dot<kVnni, kSmall>(first, lines[j], quants + 4 * j);
        second = dot<kVnni, kSmall>(second, lines[kGroups / 2 + j], quants + 4 * (kGroups / 2 + j));
      }
      if constexpr (kScales == Scales::super_halves) {
        totals[t] = hn::MulAdd(hn::ConvertTo(d, first), hn::Mul(scale, x_scale), totals[t]);
        totals[t] = hn::MulAdd(hn::ConvertTo(d, second), hn::Mul(other, x_scale), totals[t]);
      } else {
        totals[t] = hn::MulAdd(hn::ConvertTo(d, hn::Add(first, second)), hn::Mul(scale, x_scale), totals[t]);
      }
      if constexpr (kScales == Scales::block_and_minimum) {
        totals[t] = hn::MulAdd(other, hn::Set(d, activations.scaled_sums()[b]), totals[t]);
      }
      if constexpr (kScales == Scales::super) {
        const float scaled_sum = activations.scales()[b] * static_cast<float>(sums[0] + sums[1]);
        totals[t] = hn::MulAdd(other, hn::Set(d, scaled_sum), totals[t]);
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

template <bool kVnni, TileFormat kFormat>
void multiply_format(const ProductArgs& args) {
  const std::size_t lanes = hn::Lanes(Float());
  for (std::size_t row = 0; row < args.n_rows; row += lanes) {
    std::uint32_t token = 0;
    for (; token + kTokenBlock <= args.n_tokens; token += kTokenBlock) {
      multiply_tokens<kVnni, kFormat, kTokenBlock>(args, row, token);
    }
    for (; token + 2 <= args.n_tokens; token += 2) multiply_tokens<kVnni, kFormat, 2>(args, row, token);
    for (; token < args.n_tokens; ++token) multiply_tokens<kVnni, kFormat, 1>(args, row, token);
  }
}

/// Runs the loop that was compiled for the format.
template <bool kVnni, TileFormat kFormat, TileFormat... kOthers>
void multiply_any_of(const ProductArgs& args) {
  if (args.format == kFormat) return multiply_format<kVnni, kFormat>(args);
  if constexpr (sizeof...(kOthers) > 0) multiply_any_of<kVnni, kOthers...>(args);
}

/// All that tile_format() gives.
template <bool kVnni>
void multiply_any_format(const ProductArgs& args) {
  multiply_any_of<kVnni, TileFormat{4, 0, Scales::block_and_minimum}, TileFormat{4, 8, Scales::block},
                  TileFormat{8, 128, Scales::block}, TileFormat{4, 0, Scales::super},
                  TileFormat{6, 32, Scales::super_halves}, TileFormat{5, 0, Scales::super},
                  TileFormat{5, 16, Scales::block}, TileFormat{5, 0, Scales::block_and_minimum}>(args);
}

void multiply_row_tile(const ProductArgs& args) {
#if DRIFTWOOD_MAY_HAVE_VNNI
  static const bool has_vnni = __builtin_cpu_supports("avx512vnni");
  if (has_vnni && args.vnni) return multiply_any_format<true>(args);
#endif
  multiply_any_format<false>(args);
}

#undef DRIFTWOOD_MAY_HAVE_VNNI
#endif  // a product of bytes

}  // namespace HWY_NAMESPACE
}  // namespace driftwood::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace driftwood::cpu {

HWY_EXPORT(multiply_row_tile);

void multiply_row_tile(const ProductArgs& args) { HWY_DYNAMIC_DISPATCH(multiply_row_tile)(args); }

}  // namespace driftwood::cpu
#endif  // HWY_ONCE
