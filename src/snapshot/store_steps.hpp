// The steps in which a store changes its folder, so that tests can end a process or fail a call at each of them.
// Internal to src/snapshot.
#pragma once

#include <functional>
#include <string_view>

#include "core/error.hpp"

namespace driftwood {

/// Called before each change of the folder with the step's name; an error fails the operation there, as a refusal of
/// the system would.
using StoreStep = std::function<Result<void>(std::string_view step)>;

}  // namespace driftwood
