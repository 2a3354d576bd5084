#include "device/worker/remote_import.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace driftwood::worker {

Result<void> RemoteImport::reserve_addresses(std::size_t alignment) {
  alignment = std::max(alignment, page_size());
  const std::size_t lead = reinterpret_cast<std::uintptr_t>(data) % page_size();
  DW_TRY_ASSIGN(addresses, LayerView::reserve(align_up(lead + size, page_size()) + alignment));
  const auto first = reinterpret_cast<std::uintptr_t>(addresses.data());
  device = addresses.data() + (align_up(first, alignment) - first) + lead;
  return {};
}

Result<RemoteImport::Mapping> RemoteImport::map(std::span<const ByteRange> writes) const {
  Mapping mapping;
  mapping.request.size = size;
  mapping.request.read_only = read_only;
  const std::size_t page = page_size();
  if (region == nullptr) {
    mapping.request.lead = file.offset % page;
    const std::size_t first = file.offset - mapping.request.lead;
    mapping.request.pieces.push_back({align_up(mapping.request.lead + size, page), first, 0, read_only ? 1U : 0U});
    mapping.files.push_back(file.fd);
    return mapping;
  }
  std::vector<ByteRange> written(writes.begin(), writes.end());
  for (ByteRange& range : written) range.offset += region_offset;
  DW_TRY_ASSIGN(Region::Shared shared, region->share({region_offset, size}, written));
  mapping.version = shared.version;
  mapping.request.lead = region_offset % page;
  for (const Region::SharedPiece& piece : shared.pieces) {
    auto known = std::ranges::find(mapping.files, piece.fd);
    if (known == mapping.files.end()) {
      mapping.files.push_back(piece.fd);
      known = std::prev(mapping.files.end());
    }
    const auto index = static_cast<std::uint32_t>(known - mapping.files.begin());
    mapping.request.pieces.push_back({piece.range.size, piece.file_offset, index, piece.sealed ? 1U : 0U});
    mapping.held.push_back(piece.file);
  }
  if (mapping.files.size() > kMostFiles) {
    return fail(ErrorCode::unsupported,
                fmt::format("The memory lies in {} files, and a device worker is given at most {} at once.",
                            mapping.files.size(), kMostFiles));
  }
  return mapping;
}

}  // namespace driftwood::worker
