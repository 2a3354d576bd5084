// Reads lines from a terminal with editing and a history that outlives the process (libedit). One thread.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "core/error.hpp"

namespace driftwood::cli {

class LineEditor {
 public:
  /// The history is read from `history`, and written back at the end; a file that cannot be used is passed over.
  static Result<std::unique_ptr<LineEditor>> create(const std::filesystem::path& history, std::string prompt);
  ~LineEditor();

  /// The next line without its end. Nothing at Ctrl-D, and at Ctrl-C while the line is empty; Ctrl-C in a line
  /// that is not empty gives it up and asks anew. A line that ends with '\' goes on in the next one.
  std::optional<std::string> read();

 private:
  struct State;
  explicit LineEditor(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace driftwood::cli
