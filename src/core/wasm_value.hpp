// A number of WebAssembly as bits: what a frozen global is kept as.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace driftwood {

enum class WasmType : std::uint8_t { i32, i64, f32, f64, v128 };

/// Bytes that a value of the type has.
constexpr std::size_t size_of(WasmType type) noexcept {
  switch (type) {
    case WasmType::i32:
    case WasmType::f32: return 4;
    case WasmType::i64:
    case WasmType::f64: return 8;
    case WasmType::v128: return 16;
  }
  return 0;
}

/// "i32", as WebAssembly spells it.
constexpr std::string_view to_string(WasmType type) noexcept {
  switch (type) {
    case WasmType::i32: return "i32";
    case WasmType::i64: return "i64";
    case WasmType::f32: return "f32";
    case WasmType::f64: return "f64";
    case WasmType::v128: return "v128";
  }
  return "unknown";
}

struct WasmValue {
  WasmType type = WasmType::i32;
  /// Little-endian bits, from the first byte on; those beyond the type's size are zero.
  std::array<std::uint8_t, 16> bits{};

  friend bool operator==(const WasmValue&, const WasmValue&) = default;
};

}  // namespace driftwood
