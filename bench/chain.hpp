// The parts of the benchmark chain, each giving its figures to the report. One thread.
#pragma once

#include <cstdint>
#include <string_view>

#include "device/device.hpp"
#include "guest.hpp"
#include "report.hpp"

namespace driftwood::bench {

/// Resident memory that a device's hold on 16 MiB takes, and that a copy takes.
Result<void> measure_rss(Device& device, bool short_run, Report& report);
struct GemmOptions {
  std::int64_t n = 128;     ///< the guest's rows and columns: 128 of chain_guest(), 4,096 of chain_guest_4096()
  std::int64_t parts = 1;   ///< graphs of a product, as the guest has calls for it: 2 of chain_guest_4096()
  std::int32_t slice = 16;  ///< products that are timed together
  bool short_run = false;
  std::string_view suffix;  ///< of the figures' names
};
/// GEMMs: called by the guest, and the same graph over the same bytes natively.
Result<void> measure_gemm(Device& device, Guest& guest, const GemmOptions& options, Report& report);

}  // namespace driftwood::bench
