#include "snapshot/snapshot_file.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "snapshot/image_chunks.hpp"

namespace driftwood {
namespace {

/// Most fronts fit, so that one read does.
constexpr std::size_t kFirstRead = kChunkSize;

std::unexpected<Error> in_file(const File& file, Error error) {
  return fail(error.code, fmt::format("The snapshot file {} cannot be used. {}", file.path().string(), error.message));
}

/// Does work(i) for each i, on several threads where it is much; gives the first error that one came upon.
Result<void> in_parallel_checked(std::size_t count, const std::function<Result<void>(std::size_t)>& work) {
  std::mutex mutex;
  std::optional<Error> first;
  in_parallel(count, count * kChunkSize, [&](std::size_t i) {
    auto done = work(i);
    if (done) return;
    const std::lock_guard lock(mutex);
    if (!first) first = std::move(done).error();
  });
  if (first) return std::unexpected(*std::move(first));
  return {};
}

/// The beginning of the file, `size` bytes or all that there is.
Result<std::vector<std::byte>> read_beginning(const File& file, std::uint64_t file_size, std::size_t size) {
  std::vector<std::byte> bytes(static_cast<std::size_t>(std::min<std::uint64_t>(file_size, size)));
  DW_TRY(file.read_at(0, bytes));
  return bytes;
}

}  // namespace

Result<Header> read_header(const File& file) {
  DW_TRY_ASSIGN(const std::uint64_t size, file.size());
  DW_TRY_ASSIGN(const auto bytes, read_beginning(file, size, kHeaderSize));
  auto header = decode_header(bytes, size);
  if (!header) return in_file(file, std::move(header).error());
  return header;
}

Result<Front> read_front(const File& file) {
  DW_TRY_ASSIGN(const std::uint64_t size, file.size());
  DW_TRY_ASSIGN(auto bytes, read_beginning(file, size, kFirstRead));
  const auto header = decode_header(std::span(bytes).first(std::min(bytes.size(), kHeaderSize)), size);
  if (!header) return in_file(file, header.error());
  const std::size_t had = std::min<std::size_t>(bytes.size(), header->data_offset);
  bytes.resize(header->data_offset);
  DW_TRY(file.read_at(had, std::span(bytes).subspan(had)));
  auto front = decode_front(*header, std::span(bytes).subspan(kHeaderSize));
  if (!front) return in_file(file, std::move(front).error());
  return front;
}

Result<std::vector<FileReference>> read_references(const File& file) {
  DW_TRY_ASSIGN(const Header header, read_header(file));
  std::vector<std::byte> layout(header.layout_size);
  DW_TRY(file.read_at(header.layout_offset(), layout));
  auto references = decode_references(header, layout);
  if (!references) return in_file(file, std::move(references).error());
  return references;
}

Result<void> write_image(File& file, const EncodedFront& front, const ChunkLayout& layout, const ChunkIndex& index,
                         const Image& image) {
  DW_TRY(file.write_at(0, front.bytes));
  const auto hashes = index.by_chunk();
  std::vector<std::span<const std::byte>> pieces;
  for (const ChunkRun& run : layout.runs) {
    if (run.file != kOwnFile) continue;
    for (std::uint32_t i = 0; i < run.count;) {
      // As many chunks at once as are not zero; a call that writes much is interrupted by nothing.
      std::uint32_t count = 0;
      pieces.clear();
      for (; i + count < run.count && hashes[run.chunk + i + count] != nullptr && count < 64; ++count) {
        append_chunk_pieces(image, run.chunk + i + count, pieces);
      }
      DW_TRY(file.write_at(front.header.data_offset + (std::uint64_t{run.slot} + i) * kChunkSize, pieces));
      i += std::max(count, 1u);
    }
  }
  // The last slot may be a hole.
  return file.resize(front.header.file_size);
}

Result<void> write_checked(File& file, const EncodedFront& front, const ChunkLayout& layout, const ChunkIndex& index,
                           const ReadChunk& read) {
  DW_TRY(file.write_at(0, front.bytes));
  DW_TRY(file.resize(front.header.file_size));
  std::vector<std::optional<std::uint32_t>> own_slot(index.chunk_count());
  for (const ChunkRun& run : layout.runs) {
    for (std::uint32_t i = 0; run.file == kOwnFile && i < run.count; ++i) own_slot[run.chunk + i] = run.slot + i;
  }
  std::vector<std::uint32_t> chunks;
  index.for_each([&](std::uint32_t chunk, const Hash&) { chunks.push_back(chunk); });
  return in_parallel_checked(chunks.size(), [&](std::size_t i) -> Result<void> {
    const std::uint32_t chunk = chunks[i];
    std::vector<std::byte> bytes(kChunkSize);
    DW_TRY(read(chunk, bytes));
    if (hash_bytes(bytes) != index.hashes()[i]) {
      return fail(ErrorCode::corrupt,
                  fmt::format("Chunk {} (bytes {} to {} of memory) is damaged: it has another hash.", chunk,
                              chunk * kChunkSize, (chunk + 1) * kChunkSize - 1));
    }
    if (!own_slot[chunk]) return {};
    return file.write_at(front.header.data_offset + std::uint64_t{*own_slot[chunk]} * kChunkSize, bytes);
  });
}

Result<std::shared_ptr<const Layer>> open_slots(const File& file, const Header& header) {
  if (header.slots() == 0) return nullptr;
  return Layer::open(file.path(), {header.data_offset, header.slots() * kChunkSize});
}

Result<std::shared_ptr<const Image>> compose_image(const Front& front, std::shared_ptr<const Layer> own,
                                                   const FindSlots& find_slots) {
  std::vector<std::shared_ptr<const Layer>> layers = {std::move(own)};
  for (const FileReference& file : front.layout.files) {
    DW_TRY_ASSIGN(auto layer, find_slots(file));
    layers.push_back(std::move(layer));
  }
  std::vector<Extent> extents;
  for (const ChunkRun& run : front.layout.runs) {
    const auto& layer = layers[run.file];
    const std::size_t slots = layer == nullptr ? 0 : layer->size() / kChunkSize;
    if (!ByteRange{run.slot, run.count}.within(slots)) {
      return fail(ErrorCode::corrupt,
                  fmt::format("Chunks {} to {} of the snapshot {} are said to lie in slots {} to {} of a file with {}.",
                              run.chunk, run.chunk + run.count - 1, front.header.root.to_hex(), run.slot,
                              std::uint64_t{run.slot} + run.count - 1, slots));
    }
    extents.push_back({{run.chunk * kChunkSize, run.count * kChunkSize}, layer, run.slot * kChunkSize});
  }
  DW_TRY_ASSIGN(auto image, Image::compose(front.header.memory_size, std::move(extents)));
  return Image::in_few_extents(std::move(image));
}

Result<void> check_chunks(const Front& front, std::span<const SlotFile> files) {
  DW_CHECK(files.size() == front.layout.files.size() + 1);
  struct Place {
    std::uint32_t chunk;
    std::uint32_t file;
    std::uint64_t slot;
  };
  std::vector<Place> places;
  for (const ChunkRun& run : front.layout.runs) {
    for (std::uint32_t i = 0; i < run.count; ++i) {
      places.push_back({run.chunk + i, run.file, std::uint64_t{run.slot} + i});
    }
  }
  const auto hashes = front.index.by_chunk();
  return in_parallel_checked(places.size(), [&](std::size_t i) -> Result<void> {
    const auto [chunk, number, slot] = places[i];
    const SlotFile& from = files[number];
    std::vector<std::byte> bytes(kChunkSize);
    DW_TRY(from.file->read_at(from.data_offset + slot * kChunkSize, bytes));
    const Hash* hash = hashes[chunk];
    if (hash == nullptr ? is_zero(bytes) : *hash == hash_bytes(bytes)) return {};
    return fail(ErrorCode::corrupt,
                fmt::format("The snapshot file {} is damaged: chunk {} (bytes {} to {} of memory) has another hash.",
                            from.file->path().string(), chunk, chunk * kChunkSize, (chunk + 1) * kChunkSize - 1));
  });
}

}  // namespace driftwood
