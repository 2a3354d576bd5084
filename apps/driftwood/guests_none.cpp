#include "guests.hpp"

namespace driftwood::cli {

std::span<const std::byte> chat_guest() noexcept { return {}; }
std::span<const std::byte> doctor_guest() noexcept { return {}; }

}  // namespace driftwood::cli
