// What the runtime knows of a program besides its compiled code.
//
// Made when the module is rewritten and kept beside the compiled code, so that a
// program taken from the cache is not parsed again.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.hpp"
#include "core/wasm_value.hpp"
#include "memory/image.hpp"
#include "wasm/module/declarations.hpp"

namespace driftwood {

/// Exports under names that begin so are the rewriter's.
inline constexpr std::string_view kReservedPrefix = "__driftwood_";
inline constexpr std::string_view kStartExport = "__driftwood_start";
/// The export of a mutable global: kGlobalExport and its index in the module.
inline constexpr std::string_view kGlobalExport = "__driftwood_global_";

struct MutableGlobal {
  std::uint32_t index = 0;  ///< in the module
  WasmType type{};

  friend bool operator==(const MutableGlobal&, const MutableGlobal&) = default;
};

struct ModuleFacts {
  std::optional<MemoryLimits> memory;
  std::vector<MutableGlobal> globals;  ///< in the module's order
  bool has_start = false;              ///< exported as kStartExport
  std::string freeze_obstacle;         ///< a sentence; empty: it can be frozen
  std::uint64_t code_shift = 0;        ///< bytes by which the code lies further on than in the module given
  /// What the memory begins with, applied in order. Borrows the bytes of the module, or those that were decoded.
  std::vector<Image::Piece> data;

  /// Pieces of data that lie close together become one.
  std::vector<std::byte> encode() const;
  /// corrupt: not what encode() gave. Dies with `bytes`.
  static Result<ModuleFacts> decode(std::span<const std::byte> bytes);
};

}  // namespace driftwood
