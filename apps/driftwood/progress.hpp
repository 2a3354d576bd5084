// A progress bar on standard error; nothing where that is no terminal, or with --quiet. One thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace driftwood::cli {

class ProgressBar {
 public:
  /// Shows nothing unless `enabled` and standard error is a terminal.
  ProgressBar(std::string label, bool enabled);
  /// Removes the bar.
  ~ProgressBar();
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;

  /// `fraction` from 0 to 1; draws at most ten times a second. `detail` stands behind the percentage.
  void update(double fraction, std::string_view detail = {});
  /// Removes what was drawn.
  void clear();

 private:
  std::string label_;
  bool enabled_;
  bool drawn_ = false;
  std::int64_t last_ns_ = 0;
};

}  // namespace driftwood::cli
