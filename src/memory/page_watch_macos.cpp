// macOS has no marks that the process can read.
#include "memory/page_watch.hpp"

namespace driftwood {

Result<std::unique_ptr<PageWatch>> PageWatch::create() {
  return fail(ErrorCode::unsupported, "This system cannot tell which pages are written.");
}

}  // namespace driftwood
