// Whether all that a program can change is among what a freeze keeps: its memory and
// its mutable globals.
#pragma once

#include <span>
#include <string>

#include "core/error.hpp"
#include "wasm/module/data_segments.hpp"
#include "wasm/module/declarations.hpp"
#include "wasm/module/sections.hpp"

namespace driftwood {

/// The first thing that keeps the module's instances from being frozen, as a sentence that names it; empty when nothing
/// does. invalid_argument: the code is malformed; unsupported: it has an instruction that is not known here.
Result<std::string> find_freeze_obstacle(std::span<const Section> sections, const Declarations& declarations,
                                         std::span<const DataSegment> segments);

}  // namespace driftwood
