// A number of WebAssembly as bits: what a frozen global is kept as.
#pragma once

#include <array>
#include <cstdint>

namespace driftwood {

enum class WasmType : std::uint8_t { i32, i64, f32, f64, v128 };

struct WasmValue {
  WasmType type = WasmType::i32;
  /// Little-endian bits, from the first byte on; those beyond the type's size are zero.
  std::array<std::uint8_t, 16> bits{};

  friend bool operator==(const WasmValue&, const WasmValue&) = default;
};

}  // namespace driftwood
