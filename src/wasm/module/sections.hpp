// A module as the list of its sections, and what a section's bytes belong to.
//
// Source: https://webassembly.github.io/spec/core/binary/modules.html
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "core/error.hpp"
#include "wasm/module/byte_reader.hpp"

namespace driftwood {

enum class SectionId : std::uint8_t {
  custom = 0,
  type = 1,
  import = 2,
  function = 3,
  table = 4,
  memory = 5,
  global = 6,
  export_ = 7,
  start = 8,
  element = 9,
  code = 10,
  data = 11,
  data_count = 12,
};

struct Section {
  SectionId id{};
  std::span<const std::byte> content;
  std::span<const std::byte> whole;  ///< id, size and content
};

inline constexpr std::size_t kModuleHeaderSize = 8;  ///< magic number and version

/// All sections in the module's order; dies with `module`. invalid_argument: they do not fill the bytes after the
/// header.
Result<std::vector<Section>> split_sections(std::span<const std::byte> module);

/// The section of this id, or null. Any of several custom ones.
const Section* find_section(std::span<const Section> sections, SectionId id) noexcept;

/// invalid_argument: "The module's `what` cannot be read."
std::unexpected<Error> malformed(std::string_view what);

}  // namespace driftwood
