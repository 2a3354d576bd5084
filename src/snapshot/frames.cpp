#include "snapshot/frames.hpp"

#include <fmt/format.h>
#include <zstd.h>

#include <algorithm>

namespace driftwood {

std::vector<std::byte> pack_chunk(std::span<const std::byte> chunk, int level) {
  std::vector<std::byte> frame(ZSTD_compressBound(chunk.size()));
  const std::size_t size = ZSTD_compress(frame.data(), frame.size(), chunk.data(), chunk.size(), level);
  if (ZSTD_isError(size) != 0 || size >= chunk.size()) return {chunk.begin(), chunk.end()};
  frame.resize(size);
  return frame;
}

Result<void> unpack_chunk(std::span<const std::byte> frame, std::span<std::byte> chunk) {
  if (frame.size() == chunk.size()) {
    std::ranges::copy(frame, chunk.begin());
    return {};
  }
  const std::size_t size = ZSTD_decompress(chunk.data(), chunk.size(), frame.data(), frame.size());
  if (ZSTD_isError(size) != 0) {
    return fail(ErrorCode::corrupt, fmt::format("A chunk cannot be unpacked: {}.", ZSTD_getErrorName(size)));
  }
  if (size != chunk.size()) {
    return fail(ErrorCode::corrupt,
                fmt::format("A chunk has {} bytes when unpacked instead of {}.", size, chunk.size()));
  }
  return {};
}

}  // namespace driftwood
