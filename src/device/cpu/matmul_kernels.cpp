#include "device/cpu/matmul_kernels.hpp"

#include <ggml.h>

#include <cstring>
#include <type_traits>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "device/cpu/matmul_kernels.cpp"
#include <hwy/foreach_target.h>  // compiles the rest of this file once for each target
#include <hwy/highway.h>

#include "device/cpu/byte_products-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace driftwood::cpu {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using Float = hn::CappedTag<float, kTileRows>;
using VFloat = hn::Vec<Float>;

#if !DRIFTWOOD_MULTIPLIES_BYTES

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

constexpr std::uint32_t kGroups = kBlock / 4;
constexpr std::uint32_t kLineBytes = 4 * kTileRows;

// Vectors of rows that share an activation, and tokens that share unpacked quants: as many as the register file has
// sums for.
constexpr std::uint32_t kRowVectors = hn::MaxLanes(Float()) < kTileRows ? 2 : 1;
constexpr std::uint32_t kTokenBlock = HWY_TARGET <= HWY_AVX3 || HWY_ARCH_ARM ? 6 : 4;

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

/// The quants of a tile's rows [row, row + lanes) in group kGroup of four columns.
template <std::uint32_t kBits, std::uint32_t kGroup>
HWY_INLINE VBytes load_quants(const std::byte* tile, std::size_t row) {
  const Bytes d;
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(tile) + 4 * row;
  if constexpr (kBits == 8) {
    return hn::LoadU(d, bytes + kGroup * kLineBytes);
  } else {
    const hn::Repartition<std::uint16_t, Int> d16;
    VBytes both = hn::LoadU(d, bytes + kGroup / 2 * kLineBytes);
    if constexpr (kGroup % 2 == 1) both = hn::BitCast(d, hn::ShiftRight<4>(hn::BitCast(d16, both)));
    const VBytes low = hn::And(both, hn::Set(d, 15));
    if constexpr (kBits > 4) {
      constexpr std::uint32_t kHigh = kBits - 4;
      constexpr std::uint32_t kInLine = 8 / kHigh;
      const VBytes line = hn::LoadU(d, bytes + (kGroups / 2 + kGroup / kInLine) * kLineBytes);
      return hn::Or(low, high_bits<kGroup % kInLine * kHigh, (1U << kHigh) - 1>(line));
    }
    return low;
  }
}

HWY_INLINE VInt four_bytes(const std::byte* from) {
  std::int32_t word = 0;
  std::memcpy(&word, from, sizeof(word));
  return hn::Set(Int(), word);
}

#if HWY_ARCH_X86
/// x, negated where `sign` is negative; anything where it is 0.
HWY_INLINE VSignedBytes with_sign_of(VSignedBytes sign, VSignedBytes x) {
#if HWY_TARGET <= HWY_AVX3
  return hn::IfThenElse(hn::Lt(sign, hn::Zero(SignedBytes())), hn::Neg(x), x);
#elif HWY_TARGET == HWY_AVX2
  return VSignedBytes{_mm256_sign_epi8(x.raw, sign.raw)};
#else
  return VSignedBytes{_mm_sign_epi8(x.raw, sign.raw)};
#endif
}

/// Of how many groups the pairs of products of a quant with a signed byte never overflow 16 bits.
template <std::uint32_t kBits>
constexpr std::uint32_t kGroupsInPairs = 32767 / (2 * ((1U << kBits) - 1) * 128);

HWY_INLINE VPairs add_product(VPairs sum, VBytes w, const std::byte* from) {
  sum = hn::Add(sum, multiply_pairs(w, hn::BitCast(SignedBytes(), four_bytes(from))));
  // Else the compiler adds up in another order, after all products, which do not fit into registers.
  asm("" : "+x"(sum.raw));
  return sum;
}
#endif

/// sum + for each lane the product of its four quants with the four signed bytes at `from`. Without VNNI, quants of 8
/// bits are taken less 128, and the bytes must not be -128.
template <bool kVnni, std::uint32_t kBits>
HWY_INLINE VInt add_product(VInt sum, VBytes w, const std::byte* from) {
#if DRIFTWOOD_MAY_HAVE_VNNI
  if constexpr (kVnni) {
    // As text, because the compiler may not be told that this target has VNNI.
    asm("vpdpbusd %2%{1to16%}, %1, %0" : "+v"(sum.raw) : "v"(w.raw), "m"(*reinterpret_cast<const int*>(from)));
    return sum;
  }
#endif
  const SignedBytes ds;
  const auto x = hn::BitCast(ds, four_bytes(from));
  const auto signed_w = hn::BitCast(ds, kBits == 8 ? hn::Xor(w, hn::Set(Bytes(), 0x80)) : w);
#if HWY_ARCH_X86
  // Two products of full bytes overflow 16 bits: multiply magnitudes, and move the sign over.
  const VBytes magnitude = hn::BitCast(Bytes(), hn::Abs(signed_w));
  return hn::Add(sum, sum_of_pairs(multiply_pairs(magnitude, with_sign_of(signed_w, x))));
#else
  return add_quads(sum, signed_w, x);
#endif
}

/// The activations of some tokens in a block, `stride` bytes apart.
struct BlockBytes {
  const std::byte* first;
  std::size_t stride;
};

/// sums[t][v] += the products of vector v's quants in groups [kGroup, kEnd) with token t's activations.
template <bool kVnni, std::uint32_t kBits, std::uint32_t kGroup, std::uint32_t kEnd, typename Sum,
          std::uint32_t kTokens, std::uint32_t kVectors>
HWY_INLINE void add_groups(const std::byte* tile, std::size_t row, const BlockBytes& x,
                           Sum (&sums)[kTokens][kVectors]) {
  if constexpr (kGroup < kEnd) {
    VBytes w[kVectors];
    for (std::uint32_t v = 0; v < kVectors; ++v) {
      w[v] = load_quants<kBits, kGroup>(tile, row + v * hn::Lanes(Float()));
    }
    for (std::uint32_t t = 0; t < kTokens; ++t) {
      const std::byte* from = x.first + t * x.stride + std::size_t{4} * kGroup;
      for (std::uint32_t v = 0; v < kVectors; ++v) {
        if constexpr (std::is_same_v<Sum, VInt>) {
          sums[t][v] = add_product<kVnni, kBits>(sums[t][v], w[v], from);
        } else {
          sums[t][v] = add_product(sums[t][v], w[v], from);
        }
      }
    }
    add_groups<kVnni, kBits, kGroup + 1, kEnd>(tile, row, x, sums);
  }
}

/// The same, by as few instructions as the target has them.
template <bool kVnni, std::uint32_t kBits, std::uint32_t kGroup, std::uint32_t kEnd, std::uint32_t kTokens,
          std::uint32_t kVectors>
HWY_INLINE void add_products(const std::byte* tile, std::size_t row, const BlockBytes& x,
                             VInt (&sums)[kTokens][kVectors]) {
#if HWY_ARCH_X86
  if constexpr (!kVnni && kBits < 8) {
    constexpr std::uint32_t kNext = HWY_MIN(kEnd, kGroup + kGroupsInPairs<kBits>);
    VPairs pairs[kTokens][kVectors];
    for (auto& of_token : pairs) {
      for (VPairs& sum : of_token) sum = hn::Zero(Pairs());
    }
    add_groups<kVnni, kBits, kGroup, kNext>(tile, row, x, pairs);
    for (std::uint32_t t = 0; t < kTokens; ++t) {
      for (std::uint32_t v = 0; v < kVectors; ++v) sums[t][v] = hn::Add(sums[t][v], sum_of_pairs(pairs[t][v]));
    }
    if constexpr (kNext < kEnd) add_products<kVnni, kBits, kNext, kEnd>(tile, row, x, sums);
    return;
  }
#endif
  add_groups<kVnni, kBits, kGroup, kEnd>(tile, row, x, sums);
}

/// What add_products() gives beyond the product of (quant - zero_point): the factor of the activations' sum.
template <bool kVnni, TileFormat kFormat>
constexpr std::int32_t kExcess = kVnni || kFormat.bits < 8 ? kFormat.zero_point : 0;

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

/// Products of a tile's rows from `row` on, kRowVectors vectors of them, with kTokens tokens.
template <bool kVnni, TileFormat kFormat, std::uint32_t kTokens>
HWY_INLINE void multiply_tokens(const ProductArgs& args, std::size_t row, std::uint32_t token) {
  const Float d;
  const Int di;
  const std::size_t lanes = hn::Lanes(d);
  constexpr std::uint32_t kBits = kFormat.bits;
  constexpr Scales kScales = kFormat.scales;
  constexpr bool kByHalves = kScales == Scales::super_halves;
  constexpr std::int32_t kBias = kExcess<kVnni, kFormat>;
  const std::uint32_t n_blocks = args.columns / kBlock;
  const std::byte* x = args.activations + token * args.token_bytes;

  VFloat totals[kTokens][kRowVectors];
  for (auto& of_token : totals) {
    for (VFloat& total : of_token) total = hn::Zero(d);
  }
  const std::byte* tile = args.tiles;
  const std::byte* units = tile;
  for (std::uint32_t b = 0; b < n_blocks; ++b, tile += kFormat.tile_bytes()) {
    if constexpr (kFormat.has_super()) {
      if (b % (kSuperBlock / kBlock) == 0) {
        units = tile;
        tile += kFormat.super_bytes();
      }
    }
    const auto activations_of = [&](std::uint32_t t) HWY_ATTR {
      return ActivationRow{const_cast<std::byte*>(x) + t * args.token_bytes, args.columns};
    };
    VInt first[kTokens][kRowVectors];
    VInt second[kTokens][kRowVectors];  // by halves
    for (std::uint32_t t = 0; t < kTokens; ++t) {
      const std::int32_t* sums = activations_of(t).half_sums() + std::size_t{2} * b;
      for (std::uint32_t v = 0; v < kRowVectors; ++v) {
        first[t][v] = hn::Set(di, -kBias * (kByHalves ? sums[0] : sums[0] + sums[1]));
        if constexpr (kByHalves) second[t][v] = hn::Set(di, -kBias * sums[1]);
      }
    }
    const BlockBytes bytes{x + std::size_t{b} * kBlock, args.token_bytes};
    add_products<kVnni, kBits, 0, kByHalves ? kGroups / 2 : kGroups>(tile, row, bytes, first);
    if constexpr (kByHalves) add_products<kVnni, kBits, kGroups / 2, kGroups>(tile, row, bytes, second);
    VFloat scale[kRowVectors];
    VFloat other[kRowVectors];
    for (std::uint32_t v = 0; v < kRowVectors; ++v) {
      load_scales<kScales>(units, tile + kFormat.quant_bytes(), row + v * lanes, scale[v], other[v]);
    }
    for (std::uint32_t t = 0; t < kTokens; ++t) {
      const ActivationRow activations = activations_of(t);
      const VFloat x_scale = hn::Set(d, activations.scales()[b]);
      for (std::uint32_t v = 0; v < kRowVectors; ++v) {
        VFloat& total = totals[t][v];
        total = hn::MulAdd(hn::ConvertTo(d, first[t][v]), hn::Mul(scale[v], x_scale), total);
        if constexpr (kByHalves) {
          total = hn::MulAdd(hn::ConvertTo(d, second[t][v]), hn::Mul(other[v], x_scale), total);
        }
        if constexpr (kScales == Scales::block_and_minimum) {
          total = hn::MulAdd(other[v], hn::Set(d, activations.scaled_sums()[b]), total);
        }
        if constexpr (kScales == Scales::super) {
          const std::int32_t* sums = activations.half_sums() + std::size_t{2} * b;
          const float scaled_sum = activations.scales()[b] * static_cast<float>(sums[0] + sums[1]);
          total = hn::MulAdd(other[v], hn::Set(d, scaled_sum), total);
        }
      }
    }
  }
  for (std::uint32_t t = 0; t < kTokens; ++t) {
    for (std::uint32_t v = 0; v < kRowVectors; ++v) {
      const std::size_t at = row + v * lanes;
      float* out = args.out + (token + t) * args.out_stride + at;
      const float* add = args.add == nullptr ? nullptr : args.add + (token + t) * args.add_stride + at;
      if (at + lanes <= args.n_rows) {
        hn::StoreU(add == nullptr ? totals[t][v] : hn::Add(totals[t][v], hn::LoadU(d, add)), d, out);
      } else {
        alignas(64) float line[kTileRows];
        hn::Store(totals[t][v], d, line);
        for (std::size_t i = 0; at + i < args.n_rows; ++i) out[i] = line[i] + (add == nullptr ? 0.0F : add[i]);
      }
    }
  }
}

template <bool kVnni, TileFormat kFormat>
void multiply_format(const ProductArgs& args) {
  const std::size_t rows = kRowVectors * hn::Lanes(Float());
  for (std::size_t row = 0; row < args.n_rows; row += rows) {
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
