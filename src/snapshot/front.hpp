// The front of a snapshot file: all but the chunks. docs/snapshot-format.md has the bytes.
//
//   | header 160 B | manifest | chunk index | layout | zeros | chunks ...
//                                                            data_offset
//
// Decoding takes any bytes: it ends in a front that holds together, or in a sentence. The header is covered by a hash
// of its own, the manifest and the index by the root hash in it, the layout by another. Internal to src/snapshot.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/error.hpp"
#include "core/hash.hpp"
#include "snapshot/chunk_index.hpp"
#include "snapshot/chunk_layout.hpp"
#include "snapshot/manifest.hpp"
#include "snapshot/signature.hpp"

namespace driftwood {

inline constexpr std::uint32_t kFormatVersion = 1;
inline constexpr std::size_t kHeaderSize = 160;

enum class Encoding : std::uint32_t {
  mapped = 0,  ///< chunks lie as they are, in slots at multiples of kChunkSize
  packed = 1,  ///< each chunk that is not zero is a zstd frame, or lies as it is where that is no longer
};

/// The part of fixed size.
struct Header {
  Encoding encoding = Encoding::mapped;
  std::uint64_t file_size = 0;
  std::uint64_t memory_size = 0;
  std::uint64_t manifest_size = 0;
  std::uint64_t index_size = 0;
  std::uint64_t layout_size = 0;
  std::uint64_t data_offset = 0;
  Hash root;         ///< what the snapshot is called
  Hash layout_hash;  ///< of the layout's bytes
  Hash header_hash;  ///< of the bytes before it

  std::uint32_t chunk_count() const noexcept { return static_cast<std::uint32_t>(memory_size / kChunkSize); }
  std::uint64_t layout_offset() const noexcept { return kHeaderSize + manifest_size + index_size; }
  /// Of a mapped file.
  std::uint64_t slots() const noexcept { return (file_size - data_offset) / kChunkSize; }
  FileReference reference() const noexcept { return {root, header_hash}; }
};

/// From the first kHeaderSize bytes of a file of `file_size` bytes (fewer when it has fewer).
/// corrupt: no snapshot file, or damaged; incompatible: of another version.
Result<Header> decode_header(std::span<const std::byte> bytes, std::uint64_t file_size);

struct Front {
  Header header;
  Manifest manifest;
  ChunkIndex index;
  ChunkLayout layout;                      ///< of a mapped file
  std::vector<std::uint32_t> frame_sizes;  ///< of a packed file: bytes of each chunk that is not zero
  std::optional<Signature> signature;  ///< checked against the root hash; whose key it is, is for the caller to judge
};

/// From the bytes between the header and the data. corrupt: see above.
Result<Front> decode_front(const Header& header, std::span<const std::byte> bytes);

/// The other files that chunks lie in, from the layout's bytes alone, which have a hash of their own: true even where
/// the manifest or the index is damaged. corrupt: see above.
Result<std::vector<FileReference>> decode_references(const Header& header, std::span<const std::byte> layout);

/// What to make a front from.
struct FrontParts {
  std::uint64_t memory_size = 0;
  std::string manifest;          ///< encoded
  std::vector<std::byte> index;  ///< encoded
  Encoding encoding = Encoding::mapped;
  ChunkLayout layout;
  std::vector<std::uint32_t> frame_sizes;
  std::optional<Signature> signature;

  Hash root() const { return root_hash(memory_size, std::as_bytes(std::span(manifest)), index); }
};

struct EncodedFront {
  Header header;
  std::vector<std::byte> bytes;  ///< up to the zeros before data_offset
};

EncodedFront encode_front(const FrontParts& parts, const Hash& root);

}  // namespace driftwood
