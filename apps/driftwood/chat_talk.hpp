// A chat as it is held: lines in, answers and commands' outcomes out. One thread.
#pragma once

#include <optional>
#include <string>

#include "chat_branches.hpp"
#include "chat_options.hpp"
#include "command.hpp"
#include "interrupt_watch.hpp"

namespace driftwood::cli {

class ChatTalk {
 public:
  /// `settings` are those that /system begins a new conversation with; `seed` is told with each answer in JSON, where
  /// it is known.
  ChatTalk(const ChatOptions& options, const Common& common, chat::Settings settings, std::optional<std::uint64_t> seed,
           ChatBranches& branches)
      : options_(options), common_(common), settings_(std::move(settings)), seed_(seed), branches_(branches) {}

  /// One answer.
  Result<void> answer(const std::string& text);
  /// At a terminal, until the user ends it.
  Result<void> interactive(InterruptWatch& watch);
  /// Each line of standard input is one turn.
  Result<void> piped();

 private:
  /// Carries out "/..."; the value says whether the chat goes on.
  Result<bool> command(const std::string& line);
  Result<void> branch_command(const std::string& name, const std::string& argument);
  void show(const ChatAnswer& answer);

  const ChatOptions& options_;
  const Common& common_;
  chat::Settings settings_;
  std::optional<std::uint64_t> seed_;
  ChatBranches& branches_;
};

}  // namespace driftwood::cli
