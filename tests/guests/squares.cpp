// A reactor of the C++ SDK that shares its work among forks: "sum N" adds the squares of 1 to N, each of which a child
// computes; "result" tells the sum.
#include <charconv>
#include <string>

#include "driftwood/actor.hpp"
#include "driftwood/host.hpp"

using namespace driftwood::guest;

namespace {

std::uint64_t total = 0;

std::uint64_t number(std::string_view text) {
  std::uint64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

Result<void> handle() {
  DW_TRY_ASSIGN(const std::string message, receive());
  DW_TRY_ASSIGN(const dw_self_info me, self());
  if (message.starts_with("sum ")) {
    DW_TRY_ASSIGN(const auto children, fork(static_cast<std::uint32_t>(number(message.substr(4)))));
    for (const ActorId child : children) DW_TRY(send(child, "square"));
    return reply(std::to_string(children.size()));
  }
  if (message == "square") return send(me.sender, "add " + std::to_string(me.fork_index * me.fork_index));
  if (message.starts_with("add ")) total += number(message.substr(4));
  if (message == "result") return reply(std::to_string(total));
  return {};
}

}  // namespace

DW_EXPORT("driftwood_receive") std::int32_t driftwood_receive() {
  const auto done = handle();
  return done ? 0 : done.error().code;
}
