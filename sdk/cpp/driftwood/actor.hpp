// An actor among others: the message that it handles, who it is, and what it can ask for.
//
// What send, checkpoint and fork ask for is done once the message being handled is,
// when driftwood_receive has returned 0; a handler that fails has asked for nothing.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "driftwood.h"
#include "driftwood/result.hpp"

namespace driftwood::guest {

using ActorId = std::uint64_t;

/// The message being handled.
Result<std::string> receive();
/// A piece of a streamed answer. DW_E_CANCELLED: end the answer soon.
Result<void> emit(std::string_view piece);
/// The answer as a whole, once for each message.
Result<void> reply(std::string_view answer);

/// This actor's number, its parent's, its place in the fork, and the sender of the message: see dw_self_info.
Result<dw_self_info> self();
/// A message to another actor, which nobody answers.
Result<void> send(ActorId to, std::string_view message);
/// A snapshot of this actor; once for each message.
Result<void> checkpoint(std::string_view label);
/// Copies of this actor; once for each message. The i-th of their numbers is that of fork_index i + 1.
Result<std::vector<ActorId>> fork(std::uint32_t count);

}  // namespace driftwood::guest
