#include "embed/handler.hpp"

#include <string>

namespace driftwood::v1 {
namespace {

/// Handlers that this thread is in: one may cancel a message, whose own handler is called then.
thread_local int depth = 0;

}  // namespace

bool in_handler() noexcept { return depth != 0; }

Result<void> refuse_in_handler(const char* call) {
  if (!in_handler()) return {};
  return fail(ErrorCode::invalid_argument,
              std::string(call) + " was called by a handler, which cannot wait for actors; post() can be.");
}

HandlerScope::HandlerScope() noexcept { ++depth; }
HandlerScope::~HandlerScope() { --depth; }

}  // namespace driftwood::v1
