// The benchmarks of this program, each one file that main.cpp lists.
//
// A benchmark warms up, measures, checks its own result (a wrong one is an error, not
// a figure) and gives a Report. Progress goes to standard error. One thread.
#pragma once

#include <string>
#include <string_view>

#include "core/error.hpp"
#include "report.hpp"

namespace driftwood::bench {

struct Options {
  bool short_run = false;  ///< fewer rounds and lengths: seconds instead of minutes
  std::string model;       ///< name or path; empty: $DRIFTWOOD_TEST_MODEL, else the default model of the store
  std::string device;      ///< as open_device takes it; empty: the benchmark's own choice
  int threads = 0;         ///< host threads that compute, on both sides of a comparison; 0: one for each core
};

struct Benchmark {
  std::string_view name;
  std::string_view measures;
  Result<Report> (*run)(const Options& options);
  bool any_device = false;  ///< else its peer computes on the CPU, and so does Driftwood
};

Result<Report> run_chain(const Options& options);
Result<Report> run_coldstart(const Options& options);
Result<Report> run_fork(const Options& options);
Result<Report> run_forward(const Options& options);
Result<Report> run_many(const Options& options);
Result<Report> run_gpu(const Options& options);
Result<Report> run_limits(const Options& options);
Result<Report> run_snapshot(const Options& options);
Result<Report> run_worker(const Options& options);

/// A line on standard error: what is being done.
void say(std::string_view what);

}  // namespace driftwood::bench
