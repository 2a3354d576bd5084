// Stop strings, found in text that comes in pieces.
//
// Text that may be the beginning of a stop string is held back until it is clear whether it is one. The string that is
// complete first counts, of several complete at the same byte the longest; so the outcome does not depend on how the
// text was cut into pieces. No call to the host; one thread at a time.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace driftwood::guest {

class StopMatcher {
 public:
  /// Empty strings are passed over.
  explicit StopMatcher(std::vector<std::string> stops = {});

  /// Appends to `out` what surely belongs to the text. True once a stop string was complete: the text ends before it,
  /// and later pushes change nothing.
  bool push(std::string_view text, std::string& out);
  /// The text is over: what was held back belongs to it. Ready for the next text then.
  void finish(std::string& out);

  bool stopped() const noexcept { return stopped_; }

 private:
  bool ends_with_stop();
  std::size_t possible_prefix() const noexcept;

  std::vector<std::string> stops_;
  std::string held_;
  bool stopped_ = false;
};

}  // namespace driftwood::guest
