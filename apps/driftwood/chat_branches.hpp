// The conversations of one chat: a checkpoint of the actor after each turn, and branches that grew from them.
//
//   main     c0 - c1 - c2 - c3
//   other    c0 - c1 - c2 ............ forked after the second turn; goes on by itself
//
// A checkpoint is a Snapshot in memory: it costs what its turn wrote, and branches share what they have in common.
// One conversation is live, the others are their checkpoints. One thread.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "chat_session.hpp"
#include "core/error.hpp"
#include "program_files.hpp"
#include "snapshot/store.hpp"

namespace driftwood::cli {

class ChatBranches {
 public:
  /// Makes a live actor of a checkpoint.
  using Thaw = std::function<Result<std::unique_ptr<ChatSession>>(const Snapshot&)>;

  ChatBranches(std::unique_ptr<ChatSession> session, Thaw thaw, ProgramFile program);

  /// The live conversation. Dies when another one becomes live.
  ChatSession& session() noexcept { return *session_; }
  const std::string& current() const noexcept { return current_; }

  /// To be called after each turn.
  void turn_done();
  /// To be called when the live conversation began anew.
  void began_anew();

  /// Goes back to before the last `turns` turns. invalid_argument: there are not so many.
  Result<void> rewind(std::size_t turns);
  /// Begins a branch here and goes on in it; the conversation so far stays under its name. An empty name is chosen.
  /// invalid_argument: the name is taken or none.
  Result<void> fork(std::string name);
  /// Goes on with another branch. not_found.
  Result<void> switch_to(const std::string& name);

  struct Branch {
    std::string name;
    std::size_t turns = 0;  ///< since the chat began, or was resumed
    bool live = false;
  };
  std::vector<Branch> list() const;

  /// Saves the live conversation in the store.
  Result<SnapshotId> save(const std::string& label);

 private:
  void checkpoint();
  /// unsupported: the actor's program cannot be frozen.
  Result<void> check_freezable() const;

  std::unique_ptr<ChatSession> session_;
  Thaw thaw_;
  ProgramFile program_;
  std::unique_ptr<Store> store_;  ///< opened at the first save
  std::map<std::string, std::vector<Snapshot>> branches_;
  std::string current_ = "main";
  std::optional<Error> obstacle_;  ///< why there are no checkpoints
};

}  // namespace driftwood::cli
