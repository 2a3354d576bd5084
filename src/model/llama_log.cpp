#include "model/llama_log.hpp"

#include <llama.h>

#include <mutex>
#include <string_view>

#include "core/log.hpp"

namespace driftwood {
namespace {

// libllama's callback is one for the process; this is how it finds who asked, on its own thread.
thread_local std::string* captured_errors = nullptr;

void on_message(ggml_log_level level, const char* text, void*) {
  std::string_view message(text);
  while (message.ends_with('\n')) message.remove_suffix(1);
  if (message.empty()) return;
  if (level == GGML_LOG_LEVEL_ERROR && captured_errors != nullptr) {
    if (!captured_errors->empty()) *captured_errors += "; ";
    *captured_errors += message;
  }
  log(LogLevel::debug, message);
}

}  // namespace

LlamaLogCapture::LlamaLogCapture() {
  static std::once_flag once;
  std::call_once(once, [] {
    llama_log_set(on_message, nullptr);
    llama_backend_init();
  });
  captured_errors = &errors_;
}

LlamaLogCapture::~LlamaLogCapture() { captured_errors = nullptr; }

std::string LlamaLogCapture::text() const { return errors_.empty() ? "no reason was given." : errors_ + "."; }

}  // namespace driftwood
