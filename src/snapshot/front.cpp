#include "snapshot/front.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <numeric>
#include <string_view>

#include "snapshot/little_endian.hpp"

namespace driftwood {
namespace {

/// Not text, and changed by whatever changes line ends.
constexpr std::string_view kMagic =
    "\x89"
    "DWS\r\n\x1a\n";
static_assert(kMagic.size() == 8);
constexpr std::size_t kHashedHeader = kHeaderSize - sizeof(Hash::bytes);
constexpr std::uint64_t kMaxMemory = std::uint64_t{kMaxChunks} * kChunkSize;
constexpr std::uint64_t kMaxIndex = 8 + 8 * (kMaxChunks / 2) + sizeof(Hash::bytes) * kMaxChunks;
constexpr std::uint64_t kFileBytes = 64, kRunBytes = 16, kFrameBytes = 4, kSignatureBytes = 96;
constexpr std::uint64_t kMaxLayout = 16 + kFileBytes * ChunkLayout::kMaxFiles + kRunBytes * ChunkLayout::kMaxRuns +
                                     kFrameBytes * kMaxChunks + kSignatureBytes;

std::string_view as_text(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

std::unexpected<Error> layout_is_damaged() {
  return fail(ErrorCode::corrupt, "The layout is damaged: its hash is another.");
}

std::uint64_t front_end(const Header& header) noexcept { return header.layout_offset() + header.layout_size; }

std::uint64_t data_offset_of(const Header& header) noexcept {
  const std::uint64_t end = front_end(header);
  return header.encoding == Encoding::mapped ? align_up(end, kChunkSize) : end;
}

Result<void> check_sizes(const Header& header) {
  if (header.memory_size % kChunkSize != 0 || header.memory_size > kMaxMemory) {
    return fail(ErrorCode::corrupt, fmt::format("The snapshot's memory size ({}) is not a multiple of {} up to {}.",
                                                header.memory_size, kChunkSize, kMaxMemory));
  }
  if (header.manifest_size > kMaxManifestSize || header.index_size > kMaxIndex || header.layout_size > kMaxLayout) {
    return fail(
        ErrorCode::corrupt,
        fmt::format("The snapshot's manifest ({} bytes), chunk index ({}) or layout ({}) is larger than {}, {} or {}.",
                    header.manifest_size, header.index_size, header.layout_size, kMaxManifestSize, kMaxIndex,
                    kMaxLayout));
  }
  const bool mapped = header.encoding == Encoding::mapped;
  if (header.data_offset != data_offset_of(header) || header.data_offset > header.file_size ||
      (mapped && (header.file_size - header.data_offset) % kChunkSize != 0)) {
    return fail(ErrorCode::corrupt, fmt::format("The snapshot's chunks do not begin at byte {} of {}.",
                                                header.data_offset, header.file_size));
  }
  return {};
}

std::vector<std::byte> encode_layout(const FrontParts& parts) {
  std::vector<std::byte> bytes;
  const ChunkLayout& layout = parts.layout;
  for (const std::size_t count :
       {layout.runs.size(), layout.files.size(), parts.frame_sizes.size(), std::size_t{parts.signature ? 1u : 0u}}) {
    append_number(bytes, static_cast<std::uint32_t>(count));
  }
  for (const FileReference& file : layout.files) {
    append_bytes(bytes, file.root.bytes);
    append_bytes(bytes, file.header.bytes);
  }
  for (const ChunkRun& run : layout.runs) {
    for (const std::uint32_t value : {run.chunk, run.count, run.file, run.slot}) append_number(bytes, value);
  }
  for (const std::uint32_t size : parts.frame_sizes) append_number(bytes, size);
  if (parts.signature) {
    append_bytes(bytes, parts.signature->key.bytes);
    append_bytes(bytes, parts.signature->bytes);
  }
  return bytes;
}

Result<void> decode_layout(std::span<const std::byte> bytes, Front& front) {
  std::array<std::uint64_t, 4> counts{};
  LittleEndianReader reader(bytes);
  if (bytes.size() >= 16) {
    for (std::uint64_t& count : counts) count = reader.number<std::uint32_t>();
  }
  const auto [runs, files, frames, signatures] = counts;
  if (signatures > 1 || bytes.size() != 16 + kFileBytes * files + kRunBytes * runs + kFrameBytes * frames +
                                            kSignatureBytes * signatures) {
    return fail(
        ErrorCode::corrupt,
        fmt::format("The layout has {} bytes, which do not hold {} runs, {} files, {} frames and {} signatures.",
                    bytes.size(), runs, files, frames, signatures));
  }
  for (std::uint64_t i = 0; i < files; ++i) {
    FileReference& file = front.layout.files.emplace_back();
    file.root = reader.hash();
    file.header = reader.hash();
  }
  for (std::uint64_t i = 0; i < runs; ++i) {
    ChunkRun& run = front.layout.runs.emplace_back();
    for (std::uint32_t* field : {&run.chunk, &run.count, &run.file, &run.slot}) *field = reader.number<std::uint32_t>();
  }
  for (std::uint64_t i = 0; i < frames; ++i) front.frame_sizes.push_back(reader.number<std::uint32_t>());
  if (signatures != 0) {
    Signature& signature = front.signature.emplace();
    std::ranges::copy(reader.take(signature.key.bytes.size()), signature.key.bytes.begin());
    std::ranges::copy(reader.take(signature.bytes.size()), signature.bytes.begin());
  }
  return {};
}

Result<void> check_frames(const Front& front) {
  const Header& header = front.header;
  const bool sizes_fit = std::ranges::all_of(front.frame_sizes, [](std::uint32_t size) { return size <= kChunkSize; });
  const std::uint64_t total = std::accumulate(front.frame_sizes.begin(), front.frame_sizes.end(), std::uint64_t{0});
  if (!front.layout.runs.empty() || !front.layout.files.empty() || !sizes_fit ||
      front.frame_sizes.size() != front.index.hashes().size() || total != header.file_size - header.data_offset) {
    return fail(ErrorCode::corrupt,
                fmt::format("The packed file's {} frames of {} bytes are not those of {} chunks in {} bytes.",
                            front.frame_sizes.size(), total, front.index.hashes().size(),
                            header.file_size - header.data_offset));
  }
  return {};
}

}  // namespace

Result<Header> decode_header(std::span<const std::byte> bytes, std::uint64_t file_size) {
  const auto magic = std::as_bytes(std::span(kMagic));
  if (bytes.size() < magic.size() || !std::ranges::equal(bytes.first(magic.size()), magic)) {
    return fail(ErrorCode::corrupt, "It is not a Driftwood snapshot: the first bytes are others.");
  }
  if (bytes.size() < kHeaderSize) {
    return fail(ErrorCode::corrupt, fmt::format("It was cut short: it has {} bytes, and the header alone has {}.",
                                                bytes.size(), kHeaderSize));
  }
  LittleEndianReader reader(bytes.first(kHeaderSize));
  reader.take(magic.size());
  // Before any check, since another version may lay out its header differently.
  if (const auto version = reader.number<std::uint32_t>(); version != kFormatVersion) {
    return fail(ErrorCode::incompatible,
                fmt::format("It is a snapshot of format version {}, and this build reads version {}.", version,
                            kFormatVersion));
  }
  Header header;
  const auto encoding = reader.number<std::uint32_t>();
  for (std::uint64_t* field : {&header.file_size, &header.memory_size, &header.manifest_size, &header.index_size,
                               &header.layout_size, &header.data_offset}) {
    *field = reader.number<std::uint64_t>();
  }
  header.root = reader.hash();
  header.layout_hash = reader.hash();
  header.header_hash = reader.hash();
  if (header.header_hash != hash_bytes(bytes.first(kHashedHeader))) {
    return fail(ErrorCode::corrupt, "The header is damaged: its hash is another.");
  }
  if (header.file_size != file_size) {
    return fail(ErrorCode::corrupt, fmt::format("It was cut short or added to: it has {} bytes and should have {}.",
                                                file_size, header.file_size));
  }
  if (encoding > static_cast<std::uint32_t>(Encoding::packed)) {
    return fail(ErrorCode::corrupt, fmt::format("Its encoding ({}) is not 0 or 1.", encoding));
  }
  header.encoding = static_cast<Encoding>(encoding);
  DW_TRY(check_sizes(header));
  return header;
}

Result<Front> decode_front(const Header& header, std::span<const std::byte> bytes) {
  DW_CHECK(bytes.size() == header.data_offset - kHeaderSize);
  LittleEndianReader reader(bytes);
  const auto manifest = reader.take(header.manifest_size);
  const auto index = reader.take(header.index_size);
  const auto layout = reader.take(header.layout_size);
  if (root_hash(header.memory_size, manifest, index) != header.root) {
    return fail(ErrorCode::corrupt, "The manifest or the chunk index is damaged: the root hash is another.");
  }
  if (hash_bytes(layout) != header.layout_hash) return layout_is_damaged();
  if (!std::ranges::all_of(reader.take(reader.left()), [](std::byte b) { return b == std::byte{0}; })) {
    return fail(ErrorCode::corrupt, "The bytes before the chunks are not zero.");
  }
  Front front;
  front.header = header;
  DW_TRY_ASSIGN(front.manifest, decode_manifest(as_text(manifest)));
  DW_TRY_ASSIGN(front.index, ChunkIndex::decode(index, header.chunk_count()));
  DW_TRY(decode_layout(layout, front));
  if (header.encoding == Encoding::packed) {
    DW_TRY(check_frames(front));
  } else if (!front.frame_sizes.empty()) {
    return fail(ErrorCode::corrupt, "The layout of a file that is not packed names frames.");
  } else {
    DW_TRY(check_layout(front.layout, front.index, header.slots()));
  }
  if (front.signature && !verify(*front.signature, header.root)) {
    return fail(ErrorCode::corrupt, fmt::format("The signature with the key {} is not one of this snapshot.",
                                                front.signature->key.to_hex()));
  }
  return front;
}

Result<std::vector<FileReference>> decode_references(const Header& header, std::span<const std::byte> layout) {
  if (hash_bytes(layout) != header.layout_hash) return layout_is_damaged();
  Front front;
  DW_TRY(decode_layout(layout, front));
  return std::move(front.layout.files);
}

EncodedFront encode_front(const FrontParts& parts, const Hash& root) {
  const std::vector<std::byte> layout = encode_layout(parts);
  Header header;
  header.encoding = parts.encoding;
  header.memory_size = parts.memory_size;
  header.manifest_size = parts.manifest.size();
  header.index_size = parts.index.size();
  header.layout_size = layout.size();
  header.root = root;
  header.layout_hash = hash_bytes(layout);
  header.data_offset = data_offset_of(header);
  const std::uint64_t data =
      parts.encoding == Encoding::mapped
          ? std::uint64_t{parts.layout.own_slots()} * kChunkSize
          : std::accumulate(parts.frame_sizes.begin(), parts.frame_sizes.end(), std::uint64_t{0});
  header.file_size = header.data_offset + data;

  std::vector<std::byte> bytes;
  bytes.reserve(header.data_offset);
  append_bytes(bytes, std::as_bytes(std::span(kMagic)));
  append_number(bytes, kFormatVersion);
  append_number(bytes, static_cast<std::uint32_t>(header.encoding));
  for (const std::uint64_t value : {header.file_size, header.memory_size, header.manifest_size, header.index_size,
                                    header.layout_size, header.data_offset}) {
    append_number(bytes, value);
  }
  append_bytes(bytes, header.root.bytes);
  append_bytes(bytes, header.layout_hash.bytes);
  header.header_hash = hash_bytes(bytes);
  append_bytes(bytes, header.header_hash.bytes);
  append_bytes(bytes, std::as_bytes(std::span(parts.manifest)));
  append_bytes(bytes, parts.index);
  append_bytes(bytes, layout);
  return {header, std::move(bytes)};
}

}  // namespace driftwood
