#include "device/sharing.hpp"

namespace driftwood {

std::string_view to_string(Sharing sharing) noexcept {
  switch (sharing) {
    case Sharing::same_memory: return "same_memory";
    case Sharing::mapped_over_bus: return "mapped_over_bus";
    case Sharing::copied: return "copied";
  }
  return "copied";
}

}  // namespace driftwood
