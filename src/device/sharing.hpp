// How a device's view of a byte range relates to the host's.
#pragma once

#include <string_view>

namespace driftwood {

enum class Sharing {
  same_memory,      ///< the device reads and writes the very pages of the host
  mapped_over_bus,  ///< the host's pages, reached over a bus; nothing is copied
  copied,           ///< the device works on a copy, which the device layer keeps in step
};

/// "same_memory", "mapped_over_bus", "copied".
std::string_view to_string(Sharing sharing) noexcept;

/// What an import insists on. An import that cannot give it fails instead of copying.
enum class Require {
  same_memory,  ///< only Sharing::same_memory will do
  no_copy,      ///< same_memory or mapped_over_bus
  any,
};

}  // namespace driftwood
