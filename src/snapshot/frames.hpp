// Chunks as zstd frames. Internal to src/snapshot.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "core/error.hpp"

namespace driftwood {

inline constexpr int kFastestCompression = 1;
inline constexpr int kBestCompression = 19;

/// A frame that is shorter than the chunk, or the chunk as it is.
std::vector<std::byte> pack_chunk(std::span<const std::byte> chunk, int level);
/// Fills `chunk`, of kChunkSize bytes. corrupt: `frame` does not hold that many.
Result<void> unpack_chunk(std::span<const std::byte> frame, std::span<std::byte> chunk);

}  // namespace driftwood
