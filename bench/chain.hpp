// The parts of the benchmark chain, each giving its figures to the report. One thread.
#pragma once

#include "device/device.hpp"
#include "guest.hpp"
#include "report.hpp"

namespace driftwood::bench {

/// Resident memory that a device's hold on 16 MiB takes, and that a copy takes.
Result<void> measure_rss(Device& device, bool short_run, Report& report);
/// 128x128 GEMMs: called by the guest, and the same graph over the same bytes natively.
/// `suffix`: what the figures' names end with.
Result<void> measure_gemm(Device& device, Guest& guest, bool short_run, Report& report, std::string_view suffix = {});

}  // namespace driftwood::bench
