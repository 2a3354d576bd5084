#include "device/worker/mapped_import.hpp"

#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <system_error>

namespace driftwood::worker {
namespace {

/// A mapping that reaches beyond its file would end the process when it is touched there.
bool lies_in(const Piece& piece, const File& file) {
  struct stat status{};
  return fstat(file.fd(), &status) == 0 && ByteRange{piece.file_offset, piece.size}.within(
                                               align_up(static_cast<std::size_t>(status.st_size), page_size()));
}

}  // namespace

Result<std::unique_ptr<MappedImport>> MappedImport::create(Device& device, const ImportRequest& request,
                                                           std::span<const File> files) {
  std::unique_ptr<MappedImport> made(new MappedImport(device, request));
  std::size_t pages = 0;
  for (const Piece& piece : request.pieces) pages += piece.size;
  DW_TRY(made->reserve(pages));
  DW_TRY(made->map_pieces(request, files));
  DW_TRY(made->take_hold());
  return made;
}

Result<void> MappedImport::map(const ImportRequest& request, std::span<const File> files) {
  std::size_t pages = 0;
  for (const Piece& piece : request.pieces) pages += piece.size;
  if (pages != pages_ || request.lead != lead_ || request.size != size_ || read_only_) return broken("map");
  // A device that pinned the old pages would go on using them.
  import_ = Import();
  DW_TRY(map_pieces(request, files));
  return take_hold();
}

Result<void> MappedImport::reserve(std::size_t pages) {
  const std::size_t alignment = std::max(device_->info().capabilities.import_alignment, page_size());
  DW_TRY_ASSIGN(view_, LayerView::reserve(pages + alignment));
  const auto at = reinterpret_cast<std::uintptr_t>(view_.data());
  view_.advance(align_up(at, alignment) - at);
  pages_ = pages;
  return {};
}

Result<void> MappedImport::map_pieces(const ImportRequest& request, std::span<const File> files) {
  std::byte* at = view_.data();
  for (const Piece& piece : request.pieces) {
    if (piece.file >= files.size() || !lies_in(piece, files[piece.file])) return broken("import");
    const int protection = read_only_ ? PROT_READ : PROT_READ | PROT_WRITE;
    const int sharing = piece.sealed != 0 && !read_only_ ? MAP_PRIVATE | MAP_NORESERVE : MAP_SHARED;
    if (mmap(at, piece.size, protection, sharing | MAP_FIXED, files[piece.file].fd(),
             static_cast<off_t>(piece.file_offset)) == MAP_FAILED) {
      return fail(ErrorCode::out_of_memory, fmt::format("The system refused to map {} bytes in the device worker: {}.",
                                                        piece.size, std::generic_category().message(errno)));
    }
    at += piece.size;
  }
  return {};
}

Result<void> MappedImport::take_hold() {
  std::byte* const data = view_.data() + lead_;
  ++version_;
  if (read_only_) {
    DW_TRY_ASSIGN(import_, device_->import_read_only(data, size_, Require::any));
  } else {
    DW_TRY_ASSIGN(import_, device_->import_mapped(data, size_, Require::any));
  }
  return {};
}

}  // namespace driftwood::worker
