// Runs programs from tests: with given input, environment and limits, or at a terminal of their own.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace driftwood::testing {

using Environment = std::vector<std::pair<std::string, std::string>>;  ///< set beside the test's own

struct Command {
  std::vector<std::string> arguments;  ///< the program's path first
  Environment environment;
  std::string input;                           ///< standard input, then its end
  std::optional<std::size_t> file_size_limit;  ///< bytes of any file that is written (RLIMIT_FSIZE)
  std::chrono::seconds timeout{120};           ///< then it is killed
};

struct Outcome {
  int status = -1;  ///< exit status, or 128 + the signal's number
  std::string out;
  std::string err;
};

Outcome run(const Command& command);

/// A program at a terminal (80 x 24) of its own. Killed at the end if it still runs.
class TerminalProgram {
 public:
  TerminalProgram(const std::vector<std::string>& arguments, const Environment& environment);
  ~TerminalProgram();
  TerminalProgram(const TerminalProgram&) = delete;
  TerminalProgram& operator=(const TerminalProgram&) = delete;

  void type(std::string_view keys);
  /// Waits until the program has shown `text` after what earlier waits found; false when it does not in time.
  bool shows(std::string_view text, std::chrono::seconds timeout = std::chrono::seconds(60));
  /// The exit status; nothing if it goes on for longer.
  std::optional<int> ends(std::chrono::seconds timeout = std::chrono::seconds(60));
  /// All that it has shown.
  const std::string& screen() const noexcept { return screen_; }

 private:
  bool read_some(std::chrono::steady_clock::time_point until);

  pid_t child_ = -1;
  int terminal_ = -1;
  std::string screen_;
  std::size_t seen_ = 0;
};

}  // namespace driftwood::testing
