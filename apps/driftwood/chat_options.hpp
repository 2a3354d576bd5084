// The command line of `driftwood chat`. One thread.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "../../examples/chat/protocol.hpp"
#include "runtime.hpp"
#include "wasm/determinism.hpp"

namespace driftwood::cli {

/// What a new conversation is set up with.
struct ConversationOptions {
  std::optional<std::uint64_t> seed;
  chat::Settings settings;

  /// Adds the groups "Conversation" and "Sampling".
  void add_to(CLI::App* command);
  /// The settings with the model's granted name, and with a seed (a random one unless it was given).
  chat::Settings settings_for(const std::string& model_name) const;
  /// Whether anything was said of how answers are made.
  bool sampling_given() const;

 private:
  std::vector<const CLI::Option*> sampling_options_;
};

struct ChatOptions {
  std::string model;  ///< empty: the default one
  std::string guest;  ///< empty: the built-in actor
  std::string prompt;
  bool one_prompt = false;
  bool proof = false;
  bool offline = false;
  std::string resume;  ///< a snapshot to go on with
  std::optional<Determinism> determinism;
  ConversationOptions conversation;
  RuntimeOptions runtime;

  void add_to(CLI::App* command);
};

}  // namespace driftwood::cli
