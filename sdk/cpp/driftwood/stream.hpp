// The text of a generation, from the bytes of its tokens to pieces fit to show.
//
// Whole characters only, and nothing of a stop string. No call to the host; one thread at a time.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "driftwood/stop.hpp"
#include "driftwood/utf8.hpp"

namespace driftwood::guest {

class TextStream {
 public:
  explicit TextStream(std::vector<std::string> stops = {}) : stops_(std::move(stops)) {}

  /// Takes the bytes of the next token; the view is what can be shown now (maybe nothing), valid until the next call.
  std::string_view push(std::string_view bytes) {
    begin();
    characters_.push(bytes, whole_);
    stops_.push(whole_, shown_);
    return shown_;
  }
  /// The generation is over: the rest, valid until the next call. Ready for the next generation then.
  std::string_view finish() {
    begin();
    characters_.finish(whole_);
    stops_.push(whole_, shown_);
    stops_.finish(shown_);
    return shown_;
  }
  /// A stop string came: the generation ends here.
  bool stopped() const noexcept { return stops_.stopped(); }

 private:
  void begin() {
    whole_.clear();
    shown_.clear();
  }

  Utf8Assembler characters_;
  StopMatcher stops_;
  std::string whole_;  ///< whole characters, stop strings not yet looked for
  std::string shown_;
};

}  // namespace driftwood::guest
