// A guest's model handles: 1 to DW_MAX_MODELS, each a granted model that is open.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "hostcalls/guest_state.hpp"

namespace driftwood {

/// Opens a granted model; the value is its handle. not_found, naming what was granted; unavailable when all
/// handles are taken; else ModelPool's errors.
Result<std::int32_t> open_model(GuestHost::State& state, std::string_view name);
/// The model under a handle, loaded again where it was unloaded; hold it during the call only.
/// invalid_argument when nothing is open under it; incompatible when another file has the name now; ModelPool's errors.
Result<std::shared_ptr<Forward>> find_model(GuestHost::State& state, const char* call, std::int32_t handle);

/// The handles that are in use.
std::vector<ModelHandle> model_handles(const GuestHost::State& state);
/// Puts handles in place of those that are; loads nothing, though a model's file is read where its hash is not known
/// yet. not_found: a model that was not granted or that there is no file for; incompatible: another file; corrupt: a
/// handle out of range or twice.
Result<void> restore_model_handles(GuestHost::State& state, std::span<const ModelHandle> handles);

}  // namespace driftwood
