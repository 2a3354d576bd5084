// What a module declares of memory and globals, as far as rewriting needs it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "core/bytes.hpp"
#include "core/error.hpp"
#include "core/wasm_value.hpp"
#include "wasm/module/sections.hpp"

namespace driftwood {

inline constexpr std::size_t kWasmPage = 64 * kKiB;

/// Size of a linear memory, in Wasm pages of 64 KiB.
struct MemoryLimits {
  std::uint64_t minimum = 0;
  std::uint64_t maximum = 0;  ///< of the address space where the module names none

  std::uint64_t minimum_bytes() const noexcept { return minimum * kWasmPage; }
  std::uint64_t maximum_bytes() const noexcept { return maximum * kWasmPage; }
};

struct GlobalDeclaration {
  std::optional<WasmType> type;  ///< none: a reference
  bool is_mutable = false;
  bool imported = false;
  std::optional<std::uint32_t> constant;  ///< the value of an immutable i32 that needs no import
};

struct Declarations {
  std::uint32_t imported_functions = 0;
  std::optional<MemoryLimits> memory;      ///< the first one, imported or not
  std::vector<GlobalDeclaration> globals;  ///< imported ones first, as the module counts them
};

/// invalid_argument: the sections are malformed.
Result<Declarations> read_declarations(std::span<const Section> sections);

/// The value of a constant expression of type i32, with its `end` read. Nothing where it needs what an import gives, or
/// has another type.
std::optional<std::uint32_t> evaluate_i32(ByteReader& reader, std::span<const GlobalDeclaration> globals);

}  // namespace driftwood
