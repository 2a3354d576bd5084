// Any bytes as a snapshot file, a manifest, or a packed chunk: reading them must end in a value or an error, never in a
// crash.
//
// The input's first byte says how to take the rest: as one of these, or as changes to a sound file, whose hashes are
// then made right again, so that the search comes behind them.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/hash.hpp"
#include "snapshot/chunk_index.hpp"
#include "snapshot/frames.hpp"
#include "snapshot/front.hpp"
#include "snapshot/manifest.hpp"
#include "snapshot/store.hpp"
#include "snapshot/transfer.hpp"
#include "support/temporary_folder.hpp"

namespace {

using namespace driftwood;

/// Where a header has its sizes and hashes; docs/snapshot-format.md.
constexpr std::size_t kFileSize = 16, kManifestSize = 32, kRoot = 64, kLayoutHash = 96, kHeaderHash = 128;

std::vector<std::byte> bytes_of(const EncodedFront& front) {
  std::vector<std::byte> bytes = front.bytes;
  bytes.resize(front.header.file_size);
  return bytes;
}

std::vector<std::vector<std::byte>> make_sound_files() {
  Manifest manifest;
  manifest.program.name = "p";
  manifest.globals = {{.type = WasmType::i64, .bits = {1}}};
  manifest.wasi.environment = {{"A", "b"}};
  ChunkIndex index(8);
  const std::vector<std::byte> chunk(kChunkSize, std::byte{7});
  for (const std::uint32_t i : {0u, 1u, 5u}) index.add(i, hash_bytes(chunk));
  FrontParts parts;
  parts.memory_size = 8 * kChunkSize;
  parts.manifest = *encode_manifest(manifest);
  parts.index = index.encode();
  parts.layout.files = {{hash_bytes({}), hash_bytes({})}};
  parts.layout.runs = {{0, 2, 1, 3}, {5, 1, kOwnFile, 0}};
  std::vector<std::vector<std::byte>> files = {bytes_of(encode_front(parts, parts.root()))};

  parts.encoding = Encoding::packed;
  parts.layout = {};
  const auto frame = pack_chunk(chunk, 1);
  parts.frame_sizes.assign(3, static_cast<std::uint32_t>(frame.size()));
  const EncodedFront packed = encode_front(parts, parts.root());
  files.push_back(bytes_of(packed));
  for (std::size_t i = 0; i < 3; ++i) {
    std::ranges::copy(frame,
                      files.back().begin() + static_cast<std::ptrdiff_t>(packed.header.data_offset + i * frame.size()));
  }
  return files;
}

std::uint64_t number_at(std::span<const std::byte> bytes, std::size_t at) {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < 8; ++i) value |= std::to_integer<std::uint64_t>(bytes[at + i]) << (8 * i);
  return value;
}

void put(std::vector<std::byte>& bytes, std::size_t at, const Hash& hash) {
  std::ranges::copy(hash.bytes, bytes.begin() + static_cast<std::ptrdiff_t>(at));
}

/// Makes the hashes of a changed file those of what it holds now, as far as its sizes tell where that lies.
void make_hashes_right(std::vector<std::byte>& bytes) {
  if (bytes.size() < kHeaderSize) return;
  const std::uint64_t size = bytes.size();
  for (std::size_t i = 0; i < 8; ++i) bytes[kFileSize + i] = static_cast<std::byte>(size >> (8 * i));
  const std::uint64_t manifest = number_at(bytes, kManifestSize), index = number_at(bytes, kManifestSize + 8),
                      layout = number_at(bytes, kManifestSize + 16), left = size - kHeaderSize;
  if (manifest <= left && index <= left && layout <= left && manifest + index + layout <= left) {
    const auto all = std::span<const std::byte>(bytes).subspan(kHeaderSize);
    const Hash root = root_hash(number_at(bytes, 24), all.first(manifest), all.subspan(manifest, index));
    const Hash layout_hash = hash_bytes(all.subspan(manifest + index, layout));
    put(bytes, kRoot, root);
    put(bytes, kLayoutHash, layout_hash);
  }
  put(bytes, kHeaderHash, hash_bytes(std::span<const std::byte>(bytes).first(kHeaderHash)));
}

/// Each four bytes of `changes`: where (two), the byte to put there, and 255 to cut the file there instead.
std::vector<std::byte> changed(std::vector<std::byte> bytes, std::span<const std::byte> changes) {
  for (; changes.size() >= 4; changes = changes.subspan(4)) {
    const auto at = std::to_integer<std::size_t>(changes[0]) | std::to_integer<std::size_t>(changes[1]) << 8;
    if (at >= bytes.size()) continue;
    if (changes[3] == std::byte{255}) {
      bytes.resize(at);
    } else {
      bytes[at] = changes[2];
    }
  }
  return bytes;
}

void read_file(std::span<const std::byte> bytes) {
  const auto header = decode_header(bytes.first(std::min(bytes.size(), kHeaderSize)), bytes.size());
  if (!header) return;
  const auto front = decode_front(*header, bytes.first(header->data_offset).subspan(kHeaderSize));
  if (!front) return;
  // What was decoded is sound, so it can be encoded, and has the same root.
  const auto manifest = encode_manifest(front->manifest);
  if (!manifest ||
      root_hash(header->memory_size, std::as_bytes(std::span(*manifest)), front->index.encode()) != header->root) {
    std::abort();
  }
}

void import_file(std::span<const std::byte> bytes) {
  static const TemporaryFolder folder;
  static const auto store = [] {
    StoreOptions options;
    options.folder = folder.path() / "store";
    return *Store::open(std::move(options));
  }();
  const auto path = folder.path() / "file";
  std::ofstream(path, std::ios::binary | std::ios::trunc)
      .write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  const auto imported = import_snapshot(path, *store);
  if (!imported) return;
  if (!store->check(imported->id) || !store->remove(imported->id)) std::abort();
}

void read_manifest(std::string_view text) {
  const auto manifest = decode_manifest(text);
  if (!manifest) return;
  const auto again = encode_manifest(*manifest);
  if (!again || *again != text) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const auto sound_files = make_sound_files();
  const auto input = std::as_bytes(std::span(data, size));
  if (input.empty()) return 0;
  const auto rest = input.subspan(1);
  switch (std::to_integer<unsigned>(input[0]) % 8) {
    case 0: read_file(rest); break;
    case 1: read_manifest({reinterpret_cast<const char*>(rest.data()), rest.size()}); break;
    case 2: {
      std::vector<std::byte> chunk(kChunkSize);
      (void)unpack_chunk(rest.first(std::min(rest.size(), kChunkSize)), chunk);
      break;
    }
    case 3: (void)ChunkIndex::decode(rest, 100); break;
    case 4:
    case 5: {
      auto bytes = changed(sound_files[std::to_integer<unsigned>(input[0]) % 8 - 4], rest);
      make_hashes_right(bytes);
      read_file(bytes);
      break;
    }
    case 6: {
      auto bytes = changed(sound_files[1], rest);
      make_hashes_right(bytes);
      import_file(bytes);
      break;
    }
    default: import_file(rest); break;
  }
  return 0;
}
