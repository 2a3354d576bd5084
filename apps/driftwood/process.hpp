// Child processes: run to their end with their output kept, or put in this process's place. Any thread.
#pragma once

#include <signal.h>

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "core/error.hpp"

namespace driftwood::cli {

struct ProcessOptions {
  std::vector<std::string> arguments;  ///< the program first; without a '/' it is looked up on PATH
  std::vector<std::pair<std::string, std::string>> environment;  ///< set beside this process's own
  std::function<void()> tick;                                    ///< called about five times a second while it runs
};

struct ProcessResult {
  int status = 0;      ///< exit status; 128 + the signal's number when one ended it
  std::string output;  ///< the last 64 KiB of standard output and standard error together
};

/// Runs a program to its end, with no standard input. not_found: there is no such program; unavailable: it
/// could not be started.
Result<ProcessResult> run_process(const ProcessOptions& options);

/// While it lives, Ctrl-C ends the program that run_process runs and those that it would run, but not this process.
/// One at a time; programs that are run meanwhile are no longer in the terminal's foreground group.
class InterruptShield {
 public:
  InterruptShield();
  ~InterruptShield();
  InterruptShield(const InterruptShield&) = delete;
  InterruptShield& operator=(const InterruptShield&) = delete;

 private:
  struct sigaction previous_{};
};

/// Becomes another program, with this process's standard streams. Returns only an error.
Error replace_process(const std::vector<std::string>& arguments);

}  // namespace driftwood::cli
