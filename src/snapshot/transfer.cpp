#include "snapshot/transfer.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "snapshot/chunk_plan.hpp"
#include "snapshot/frames.hpp"
#include "snapshot/image_chunks.hpp"
#include "snapshot/labels.hpp"
#include "snapshot/new_file.hpp"
#include "snapshot/snapshot_file.hpp"

namespace driftwood {
namespace {

/// Chunks that are packed before they are written.
constexpr std::size_t kPackedAtOnce = 256;

/// Writes the frames, then the front, which tells their sizes.
Result<EncodedFront> write_packed(File& file, FrontParts parts, const Hash& root, const ChunkIndex& index,
                                  const Image& image, int level) {
  parts.encoding = Encoding::packed;
  parts.frame_sizes.assign(index.hashes().size(), 0);
  std::uint64_t offset = encode_front(parts, root).header.data_offset;
  std::vector<std::uint32_t> chunks;
  index.for_each([&](std::uint32_t chunk, const Hash&) { chunks.push_back(chunk); });
  for (std::size_t first = 0; first < chunks.size(); first += kPackedAtOnce) {
    std::vector<std::vector<std::byte>> frames(std::min(kPackedAtOnce, chunks.size() - first));
    in_parallel(frames.size(), frames.size() * kChunkSize, [&](std::size_t i) {
      std::vector<std::byte> chunk(kChunkSize);
      image.read({chunks[first + i] * kChunkSize, kChunkSize}, chunk);
      frames[i] = pack_chunk(chunk, level);
    });
    std::vector<std::span<const std::byte>> pieces(frames.begin(), frames.end());
    DW_TRY(file.write_at(offset, pieces));
    for (std::size_t i = 0; i < frames.size(); ++i) {
      parts.frame_sizes[first + i] = static_cast<std::uint32_t>(frames[i].size());
      offset += frames[i].size();
    }
  }
  EncodedFront front = encode_front(parts, root);
  DW_TRY(file.write_at(0, front.bytes));
  return front;
}

/// Where each chunk that is not zero lies in a whole file.
struct Stored {
  std::uint64_t offset = 0;
  std::uint32_t size = 0;
};

std::vector<Stored> places_in_file(const Front& front) {
  std::vector<Stored> places(front.index.chunk_count());
  const std::uint64_t data = front.header.data_offset;
  if (front.header.encoding == Encoding::packed) {
    std::uint64_t offset = data;
    auto size = front.frame_sizes.begin();
    front.index.for_each([&](std::uint32_t chunk, const Hash&) {
      places[chunk] = {offset, *size};
      offset += *size++;
    });
    return places;
  }
  for (const ChunkRun& run : front.layout.runs) {
    for (std::uint32_t i = 0; i < run.count; ++i) {
      places[run.chunk + i] = {data + (std::uint64_t{run.slot} + i) * kChunkSize, kChunkSize};
    }
  }
  return places;
}

Result<void> check_signer(const Front& front, const std::vector<PublicKey>& trusted) {
  if (trusted.empty()) return {};
  if (!front.signature) {
    return fail(ErrorCode::invalid_argument,
                "The snapshot is not signed, and a signature of a trusted key is asked for.");
  }
  if (std::ranges::find(trusted, front.signature->key) != trusted.end()) return {};
  return fail(ErrorCode::invalid_argument,
              fmt::format("The snapshot is signed with the key {}, which is not one of the {} that are trusted.",
                          front.signature->key.to_hex(), trusted.size()));
}

/// Holes of a whole file are not covered by hashes, and must hold nothing.
Result<void> check_holes(const File& file, const Front& front, const std::vector<Stored>& places) {
  const auto hashes = front.index.by_chunk();
  std::vector<std::byte> bytes(kChunkSize);
  for (std::size_t chunk = 0; chunk < places.size(); ++chunk) {
    if (hashes[chunk] != nullptr || places[chunk].size == 0) continue;
    DW_TRY(file.read_at(places[chunk].offset, bytes));
    if (!is_zero(bytes)) {
      return fail(ErrorCode::corrupt,
                  fmt::format("The file {} is damaged: chunk {} is not zero.", file.path().string(), chunk));
    }
  }
  return {};
}

/// What comes from elsewhere takes no label away.
std::string label_for(const Front& front, const Store& store, const ImportOptions& options) {
  if (!options.label.empty()) return options.label;
  const std::string& own = front.manifest.label;
  const auto taken = store.resolve(own);
  const bool is_free = !taken && taken.error().code == ErrorCode::not_found;
  return is_free && check_label(own) ? own : std::string();
}

}  // namespace

Result<ExportInfo> export_snapshot(Store& store, const SnapshotId& id, const std::filesystem::path& path,
                                   const ExportOptions& options) {
  if (options.compression && (*options.compression < kFastestCompression || *options.compression > kBestCompression)) {
    return fail(ErrorCode::invalid_argument, fmt::format("The compression ({}) is not a level from {} to {}.",
                                                         *options.compression, kFastestCompression, kBestCompression));
  }
  DW_TRY(store.check(id));
  DW_TRY_ASSIGN(const auto loaded, store.load_front(id));
  const Front& front = *loaded.first;
  FrontParts parts;
  parts.memory_size = front.header.memory_size;
  DW_TRY_ASSIGN(parts.manifest, encode_manifest(front.manifest));
  parts.index = front.index.encode();
  if (options.signing_key != nullptr) parts.signature = options.signing_key->sign(id);

  const auto reached = [&](std::string_view step) { return options.on_step ? options.on_step(step) : Result<void>{}; };
  DW_TRY(reached("create"));
  DW_TRY_ASSIGN(NewFile file, NewFile::create(path));
  DW_TRY(reached("write"));
  EncodedFront encoded;
  if (options.compression) {
    DW_TRY_ASSIGN(encoded, write_packed(file.file(), parts, id, front.index, *loaded.second, *options.compression));
  } else {
    parts.layout = plan_layout(front.index, nullptr, [](const FileReference&) { return false; });
    encoded = encode_front(parts, id);
    DW_TRY(write_image(file.file(), encoded, parts.layout, front.index, *loaded.second));
  }
  DW_TRY(reached("seal"));
  DW_TRY(file.file().make_read_only());
  DW_TRY(reached("publish"));
  DW_TRY(file.publish());
  return ExportInfo{encoded.header.file_size, front.index.hashes().size() * kChunkSize};
}

Result<ImportInfo> import_snapshot(const std::filesystem::path& path, Store& store, const ImportOptions& options) {
  DW_TRY_ASSIGN(const File file, File::open(path));
  DW_TRY_ASSIGN(const Front front, read_front(file));
  DW_TRY(check_signer(front, options.trusted));
  if (!front.layout.files.empty()) {
    return fail(
        ErrorCode::invalid_argument,
        fmt::format("The file {} is a part of a snapshot: other chunks lie in the file of {}. Export it as a whole "
                    "from its store.",
                    path.string(), front.layout.files[0].root.to_hex()));
  }
  const auto places = places_in_file(front);
  DW_TRY(check_holes(file, front, places));
  const auto read = [&](std::uint32_t chunk, std::span<std::byte> out) -> Result<void> {
    const Stored& place = places[chunk];
    if (front.header.encoding == Encoding::mapped) return file.read_at(place.offset, out);
    std::vector<std::byte> frame(place.size);
    DW_TRY(file.read_at(place.offset, frame));
    return unpack_chunk(frame, out);
  };
  auto saved = store.save_checked(front, read, label_for(front, store, options));
  if (!saved) return std::unexpected(std::move(saved).error().with_context("while importing " + path.string()));
  return ImportInfo{*saved, front.signature ? std::optional(front.signature->key) : std::nullopt};
}

Result<SnapshotFileInfo> read_snapshot_info(const std::filesystem::path& path) {
  DW_TRY_ASSIGN(const File file, File::open(path));
  DW_TRY_ASSIGN(const Front front, read_front(file));
  const bool packed = front.header.encoding == Encoding::packed;
  SnapshotFileInfo info;
  info.id = front.header.root;
  info.manifest = front.manifest;
  info.memory_size = front.header.memory_size;
  info.file_size = front.header.file_size;
  info.chunks = front.index.hashes().size();
  info.own_chunks = packed ? info.chunks : front.layout.own_slots();
  info.packed = packed;
  if (front.signature) info.signer = front.signature->key;
  return info;
}

}  // namespace driftwood
