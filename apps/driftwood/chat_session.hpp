// A conversation with a chat actor, in terms of its messages (examples/chat/protocol.hpp). What the actor says
// is checked: it may be anybody's guest. One thread, except cancel().
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "../../examples/chat/protocol.hpp"
#include "actor/actor.hpp"
#include "core/error.hpp"

namespace driftwood::cli {

/// What is called while an answer is made.
struct ChatEvents {
  std::function<void(std::string_view)> piece;                         ///< of the answer's text
  std::function<void(std::uint32_t done, std::uint32_t all)> prefill;  ///< tokens of the prompt
};

/// One answer.
struct ChatAnswer {
  chat::Answer answer;
  std::string text;
  double prefill_s = 0;  ///< from the message to the prompt's last token
  double decode_s = 0;   ///< from there to the end

  double prefill_rate() const noexcept;  ///< tokens a second; 0 where there were none
  double decode_rate() const noexcept;
};

class ChatSession {
 public:
  /// Spawns the actor and configures it. `options.host.progress` is taken over.
  static Result<std::unique_ptr<ChatSession>> start(std::shared_ptr<const Program> program, ActorOptions options,
                                                    const chat::Settings& settings);

  struct Resumed;
  /// A session that goes on from a snapshot of a chat actor. `options.host.progress` is taken over.
  static Result<Resumed> resume(std::shared_ptr<const Program> program, const Snapshot& snapshot, ActorOptions options);
  /// A session with an actor that is there already.
  static std::unique_ptr<ChatSession> adopt(std::unique_ptr<Actor> actor);

  /// Begins a new conversation.
  Result<chat::Status> configure(const chat::Settings& settings);
  /// Changes how answers are made, and goes on.
  Result<chat::Status> set_sampling(const chat::Sampling& sampling);
  Result<chat::Status> reset();
  Result<chat::Status> stats();
  Result<ChatAnswer> say(std::string_view text, const ChatEvents& events);
  /// The same with the message as it travels.
  Result<ChatAnswer> send_say(std::string_view message, const ChatEvents& events);
  /// What was said so far, as "user" and "assistant" (and "system") with their texts.
  Result<std::vector<std::pair<std::string, std::string>>> transcript();
  /// Those whose rows the actor's Context holds.
  Result<std::vector<std::int32_t>> tokens();
  /// Ends the answer that is being made. Any thread.
  void cancel() noexcept { actor_->cancel(); }

  /// False when the actor trapped: nothing can be said any more.
  bool alive() const noexcept { return actor_->state() != ActorState::ended; }
  Actor& actor() noexcept { return *actor_; }

 private:
  ChatSession() = default;
  void take_progress(ActorOptions& options);
  Result<chat::Message> send(std::string_view message, std::string_view expected,
                             const std::function<void(std::string_view)>& emit = {});
  Result<chat::Status> send_for_status(std::string_view message);

  std::unique_ptr<Actor> actor_;
  std::function<void(std::uint32_t, std::uint32_t)> progress_;
};

struct ChatSession::Resumed {
  std::unique_ptr<ChatSession> session;
  std::string numerics_difference;  ///< as Thawed has it
};

}  // namespace driftwood::cli
