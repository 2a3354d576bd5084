#include "actor/mailbox.hpp"

#include <algorithm>

namespace driftwood {

Message Mailbox::pop() {
  Message first = std::move(messages_.front());
  messages_.pop_front();
  return first;
}

std::optional<Message> Mailbox::remove(MessageId id) {
  const auto found = std::ranges::find(messages_, id, &Message::id);
  if (found == messages_.end()) return std::nullopt;
  Message message = std::move(*found);
  messages_.erase(found);
  return message;
}

}  // namespace driftwood
