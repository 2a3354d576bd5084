// How much memory a process has to itself. Any thread.
#pragma once

#include "core/error.hpp"

namespace driftwood::bench {

/// Bytes of this process's anonymous pages, of the pages of memory files that it maps, of what is swapped out, and of
/// its page tables. unsupported: the system does not tell.
Result<double> private_bytes();

}  // namespace driftwood::bench
