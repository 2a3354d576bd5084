// How many linear memories a test can have at once.
#pragma once

#include "support/sanitizers.hpp"

namespace driftwood::testing {

// ThreadSanitizer's own maps leave no room for the address space of so many.
#if DW_WITH_TSAN
constexpr int kManyMemories = 200;
#else
constexpr int kManyMemories = 1000;
#endif

}  // namespace driftwood::testing
