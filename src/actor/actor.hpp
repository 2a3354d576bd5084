// An actor: a Program running over its own memory, with grants and a mailbox.
//
// A command runs once; a reactor is at rest between messages. Calls of one Actor
// come from one thread at a time, except cancel(), which any thread may call.
// The runtime's Engine, Device and ModelPool must outlive it.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "core/error.hpp"
#include "hostcalls/guest_host.hpp"
#include "wasm/instance.hpp"
#include "wasm/program.hpp"

namespace driftwood {

enum class ActorState {
  at_rest,  ///< between messages; the guest's stack is empty
  running,  ///< handling a message
  ended,    ///< trapped, exhausted its budget, or a command that returned
};

struct ActorOptions {
  GuestHostOptions host;
  WasiOptions wasi;
  InstanceLimits limits;
};

class Actor {
 public:
  /// Gives the program its memory and grants, and runs its start function and, unless it is a command, its
  /// `_initialize`. Fails as Instance::create does.
  static Result<std::unique_ptr<Actor>> spawn(std::shared_ptr<const Program> program, ActorOptions options);
  ~Actor();

  ActorState state() const noexcept;
  /// Hands a reactor one message and returns its reply (empty when it made none).
  /// Each emitted piece is passed on as it comes. invalid_argument: not at rest or no reactor;
  /// guest_trap: it trapped, ran too long, or had ended before; cancelled: cancel() ended the
  /// handler; unavailable: the handler returned an error of its own. Only a trap ends the actor.
  Result<std::string> send(std::string_view message, const std::function<void(std::string_view)>& emit = {});
  /// Runs a command to its end; the value is its exit status. Fails as send() does.
  Result<int> run();
  /// Asks the message being handled to end early.
  void cancel() noexcept;

  Region& memory() noexcept;
  Instance& instance() noexcept;

 private:
  struct State;
  explicit Actor(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace driftwood
