// One snapshot file: its front read, its own chunks written, checked, and made extents of an Image.
// Internal to src/snapshot.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>

#include "core/error.hpp"
#include "memory/image.hpp"
#include "snapshot/file.hpp"
#include "snapshot/front.hpp"

namespace driftwood {

/// Both fail with corrupt or incompatible and a message that names the file.
Result<Header> read_header(const File& file);
Result<Front> read_front(const File& file);
/// The other files that chunks lie in; of the front only what tells that is read.
Result<std::vector<FileReference>> read_references(const File& file);

/// Writes a mapped file: the front, and the own chunks of `layout` from where they lie in `image`. Zeros (before the
/// first slot, and chunks that `index` does not have) are left out as holes, which take no room.
Result<void> write_image(File& file, const EncodedFront& front, const ChunkLayout& layout, const ChunkIndex& index,
                         const Image& image);

/// Fills kChunkSize bytes with a chunk of memory; called by several threads.
using ReadChunk = std::function<Result<void>(std::uint32_t chunk, std::span<std::byte> out)>;

/// The same from a source that is not to be trusted: reads every chunk that is not zero and compares its hash, also
/// those that lie in other files already. corrupt: a chunk has another hash.
Result<void> write_checked(File& file, const EncodedFront& front, const ChunkLayout& layout, const ChunkIndex& index,
                           const ReadChunk& read);

/// All slots of a mapped file, to be used by any number of Images. Null when it has none.
Result<std::shared_ptr<const Layer>> open_slots(const File& file, const Header& header);

/// Finds the slots of another file: the Layer over all of them.
using FindSlots = std::function<Result<std::shared_ptr<const Layer>>(const FileReference&)>;

/// The memory of a mapped snapshot, of which nothing is read here unless it lies in too many pieces
/// (Image::in_few_extents). `own` are its own slots. corrupt: a run does not lie in the slots that it names.
Result<std::shared_ptr<const Image>> compose_image(const Front& front, std::shared_ptr<const Layer> own,
                                                   const FindSlots& find_slots);

/// Where slots can be read without mapping them.
struct SlotFile {
  const File* file;
  std::uint64_t data_offset;
};

/// Reads every chunk of a mapped snapshot and compares its hash. `files` are its own and then those that its layout
/// refers to. corrupt: a chunk is damaged; the message names it and its file.
Result<void> check_chunks(const Front& front, std::span<const SlotFile> files);

}  // namespace driftwood
