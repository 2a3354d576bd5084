// Messages that the command line names, sent to an actor one after another, and what came of them. One thread.
#pragma once

#include <CLI/CLI.hpp>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "actor/actor.hpp"
#include "chat_session.hpp"
#include "command.hpp"
#include "console.hpp"
#include "core/error.hpp"

namespace driftwood::cli {

/// --message, --message-file and --say, in the order in which they were given.
class MessageOptions {
 public:
  enum class Kind { text, file, say };
  struct Given {
    Kind kind;
    std::string value;
  };

  void add_to(CLI::App* command);
  bool empty() const noexcept { return given_.empty(); }
  const std::vector<Given>& given() const noexcept { return given_; }

 private:
  std::vector<Given> given_;
};

/// One message as an actor gets it.
struct ActorMessage {
  bool chat = false;  ///< of the chat protocol: its answer is shown as text
  std::string bytes;
};

/// Reads the files. not_found: one is not there.
Result<std::vector<ActorMessage>> read_messages(const MessageOptions& options);

/// Sends them in order. Prints each reply, or with `json` appends it to `replies`. Ends at the first that fails.
Result<void> converse(ChatSession& session, const std::vector<ActorMessage>& messages, const Common& common,
                      Json& replies);

}  // namespace driftwood::cli
