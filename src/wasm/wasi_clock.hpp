// The part of WASI preview 1 that tells the time and waits: clock_res_get,
// clock_time_get and poll_oneoff, over the system's clocks or the guest's virtual one
// (see determinism.hpp).
//
// Wasmtime's own poll_oneoff sleeps for as long as the guest says, past any
// deadline and deaf to an interruption; these take its place. A subscription to a
// file descriptor is ready at once, as POSIX has it for files: a guest that polls a
// slow standard input waits in its read instead. Internal to src/wasm.
#pragma once

#include <span>

#include "wasm/host_function.hpp"

namespace driftwood {

/// Their `host` is the StoreData, not the Instance's host data.
std::span<const HostFunction> wasi_clock_functions() noexcept;

}  // namespace driftwood
