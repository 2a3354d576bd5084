// The parts of the benchmark many. One thread.
#pragma once

#include <filesystem>
#include <vector>

#include "benchmark.hpp"
#include "core/error.hpp"
#include "model/tokenizer.hpp"
#include "report.hpp"

namespace driftwood::bench {

struct ManySetup {
  std::filesystem::path model;
  int threads = 1;
  bool short_run = false;
  std::vector<Token> text;  ///< long enough for every prompt
};

/// batch32_ratio, fork64_ratio.
Result<void> measure_throughput(const ManySetup& setup, Report& report);
/// p99_ratio, overhead_us_p50, overhead_us_p99.
Result<void> measure_token_times(const ManySetup& setup, Report& report);
/// wake_ratio, live_private_mb.
Result<void> measure_crowd(const ManySetup& setup, Report& report);

}  // namespace driftwood::bench
