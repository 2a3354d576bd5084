// WASI preview 1's random_get: the guest's own generator where it has one (see
// determinism.hpp), else the system's. Internal to src/wasm.
#pragma once

#include <span>

#include "wasm/host_function.hpp"

namespace driftwood {

/// Their `host` is the StoreData, not the Instance's host data.
std::span<const HostFunction> wasi_random_functions() noexcept;

}  // namespace driftwood
