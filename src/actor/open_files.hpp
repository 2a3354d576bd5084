// How many files the process may have open: each actor's memory is one.
#pragma once

#include <cstdint>

namespace driftwood {

/// Raises the process's limit to `wanted`, or as far towards it as the system lets it; never lowers it. The value is
/// the limit from then on. Any thread.
std::uint64_t raise_open_files(std::uint64_t wanted) noexcept;
/// The limit as it is.
std::uint64_t open_files() noexcept;

}  // namespace driftwood
