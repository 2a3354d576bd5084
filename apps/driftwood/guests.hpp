// The guests that are part of the binary. Empty spans in a build without guests.
#pragma once

#include <cstddef>
#include <span>

namespace driftwood::cli {

/// The chat actor (examples/chat).
std::span<const std::byte> chat_guest() noexcept;
/// The guest of `driftwood doctor` (apps/driftwood/guests/doctor.c).
std::span<const std::byte> doctor_guest() noexcept;

}  // namespace driftwood::cli
