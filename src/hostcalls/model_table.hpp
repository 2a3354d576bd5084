// A guest's model handles: 1 to DW_MAX_MODELS, each a granted model that is open.
#pragma once

#include <cstdint>
#include <string_view>

#include "hostcalls/guest_state.hpp"

namespace driftwood {

/// Opens a granted model; the value is its handle. not_found, naming what was granted; unavailable when all
/// handles are taken; else ModelPool's errors.
Result<std::int32_t> open_model(GuestHost::State& state, std::string_view name);
/// The model under a handle. invalid_argument when nothing is open under it.
Result<Forward*> find_model(GuestHost::State& state, const char* call, std::int32_t handle);

}  // namespace driftwood
