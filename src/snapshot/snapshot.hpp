// A frozen actor: what it is frozen into in memory, and what a snapshot file holds.
//
// Immutable once made, and cheap to copy: the memory is shared. Any thread.
#pragma once

#include <memory>

#include "memory/image.hpp"
#include "snapshot/manifest.hpp"

namespace driftwood {

struct Snapshot {
  Manifest manifest;
  std::shared_ptr<const Image> memory;  ///< all of the linear memory
};

}  // namespace driftwood
