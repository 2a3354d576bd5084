#include "core/thread.hpp"

#include <memory>
#include <string>
#include <system_error>

namespace driftwood {
namespace {

void* run_body(void* argument) {
  const std::unique_ptr<std::function<void()>> body(static_cast<std::function<void()>*>(argument));
  (*body)();
  return nullptr;
}

}  // namespace

Result<Thread> Thread::start(std::size_t stack_bytes, std::function<void()> body) {
  auto argument = std::make_unique<std::function<void()>>(std::move(body));
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, stack_bytes);
  pthread_t handle{};
  const int error = ::pthread_create(&handle, &attributes, run_body, argument.get());
  pthread_attr_destroy(&attributes);
  if (error != 0) {
    return fail(ErrorCode::unavailable, "No thread with a stack of " + std::to_string(stack_bytes) +
                                            " bytes could be started: " + std::generic_category().message(error) + ".");
  }
  static_cast<void>(argument.release());  // the thread's own now
  return Thread(handle);
}

void Thread::join() noexcept {
  if (const auto handle = std::exchange(handle_, std::nullopt)) ::pthread_join(*handle, nullptr);
}

}  // namespace driftwood
