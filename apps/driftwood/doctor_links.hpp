// The links of the chain, each alone. A link that fails says so in its report. One thread.
#pragma once

#include <string>

#include "device/device.hpp"
#include "doctor_report.hpp"
#include "wasm/engine.hpp"

namespace driftwood::cli {

/// Region: zeros, growth in place, pins.
LinkReport examine_memory();
/// Device: import of a Region, and a computation whose operands and result lie in it; then the chain with it.
DeviceReport examine_device(Engine& engine, const std::string& name, const DeviceOptions& options);
/// Engine: a guest's linear memory is a Region.
WasmReport examine_wasm(Engine& engine);
/// Resident memory that an import takes, and that a copy takes.
RssReport examine_rss(Device& device);

}  // namespace driftwood::cli
