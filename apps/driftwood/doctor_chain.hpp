// The links composed: a guest's matrices in its linear memory, multiplied by a device where they lie, looked at
// by the host in the same place. One thread.
#pragma once

#include "device/device.hpp"
#include "doctor_report.hpp"
#include "wasm/engine.hpp"

namespace driftwood::cli {

/// Checks the product and the three views, then measures (medians after a warm-up; two seconds at most on a machine
/// that is not swamped).
ChainReport examine_chain(Engine& engine, Device& device);

}  // namespace driftwood::cli
