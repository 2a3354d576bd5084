// The command line of `driftwood chat`. One thread.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "../../examples/chat/protocol.hpp"
#include "runtime.hpp"

namespace driftwood::cli {

struct ChatOptions {
  std::string model;  ///< empty: the default one
  std::string guest;  ///< empty: the built-in actor
  std::string prompt;
  bool one_prompt = false;
  bool proof = false;
  bool offline = false;
  std::optional<std::uint64_t> seed;
  chat::Settings settings;
  RuntimeOptions runtime;

  void add_to(CLI::App* command);
  /// The settings with the model's granted name, and with a seed (a random one unless it was given).
  chat::Settings settings_for(const std::string& model_name) const;
};

}  // namespace driftwood::cli
