// A module's data segments: what its memory begins with.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "core/error.hpp"
#include "wasm/module/declarations.hpp"
#include "wasm/module/sections.hpp"

namespace driftwood {

struct DataSegment {
  bool active = false;
  std::uint32_t offset = 0;  ///< in linear memory; of an active one
  std::span<const std::byte> bytes;
  std::span<const std::byte> whole;  ///< the segment as it is encoded
};

/// All segments in the module's order; dies with the module's bytes.
/// invalid_argument: the section is malformed, or an active segment does not lie in the memory as it begins;
/// unsupported: the place of one is not known before its imports are.
Result<std::vector<DataSegment>> read_data_segments(std::span<const Section> sections,
                                                    const Declarations& declarations);

}  // namespace driftwood
