// libllama's and ggml's messages, sent to our log at debug level instead of to stderr.
#pragma once

#include <string>

namespace driftwood {

/// While it lives, what libllama reports as an error on this thread is also kept, for an Error's text.
/// The first one sets libllama up for the process. Any thread; captures on one thread do not nest.
class LlamaLogCapture {
 public:
  LlamaLogCapture();
  ~LlamaLogCapture();
  LlamaLogCapture(const LlamaLogCapture&) = delete;
  LlamaLogCapture& operator=(const LlamaLogCapture&) = delete;

  /// The errors so far, as one sentence; "no reason was given." if there were none.
  std::string text() const;

 private:
  std::string errors_;
};

}  // namespace driftwood
