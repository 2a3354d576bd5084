// WASI preview 1 as WasiOptions grants it. Internal to src/wasm.
#pragma once

#include <wasmtime.h>

#include <string_view>

#include "core/error.hpp"
#include "wasm/instance.hpp"

namespace driftwood {

inline constexpr std::string_view kWasiModule = "wasi_snapshot_preview1";

/// Gives the store its arguments, environment, folders and streams.
/// invalid_argument: text that is not UTF-8 or holds a zero byte; not_found: a folder that cannot be opened.
Result<void> set_wasi(wasmtime_context_t* context, const WasiOptions& options);

}  // namespace driftwood
