// How many files the process may have open, and how many mappings: each actor's memory is a file, and what it shares
// with others or with a snapshot is mapped piece by piece.
#pragma once

#include <cstdint>
#include <optional>

namespace driftwood {

/// Raises the process's limit to `wanted`, or as far towards it as the system lets it; never lowers it. The value is
/// the limit from then on. Any thread.
std::uint64_t raise_open_files(std::uint64_t wanted) noexcept;
/// The limit as it is.
std::uint64_t open_files() noexcept;
/// Mappings that the system lets a process have; nothing where it has no such limit, or does not tell.
std::optional<std::uint64_t> most_mappings();

}  // namespace driftwood
