// One snapshot file: its front read, its own chunks written, checked, and made extents of an Image.
// Internal to src/snapshot.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>

#include "core/error.hpp"
#include "memory/image.hpp"
#include "snapshot/file.hpp"
#include "snapshot/front.hpp"

namespace driftwood {

/// Both fail with corrupt or incompatible and a message that names the file.
Result<Header> read_header(const File& file);
Result<Front> read_front(const File& file);

/// Writes a mapped file: the front, and the own chunks of `layout` from where they lie in `image`. Chunks that `index`
/// has as zero are left out as holes.
Result<void> write_image(File& file, const EncodedFront& front, const ChunkLayout& layout, const ChunkIndex& index,
                         const Image& image);

/// All slots of a mapped file, to be used by any number of Images. Null when it has none.
Result<std::shared_ptr<const Layer>> open_slots(const File& file, const Header& header);

/// Finds the slots of another file: the Layer over all of them.
using FindSlots = std::function<Result<std::shared_ptr<const Layer>>(const FileReference&)>;

/// The memory of a mapped snapshot, of which nothing is read here. `own` are its own slots. corrupt: a run does not lie
/// in the slots that it names.
Result<std::shared_ptr<const Image>> compose_image(const Front& front, std::shared_ptr<const Layer> own,
                                                   const FindSlots& find_slots);

/// Reads every own chunk of a mapped file and compares its hash. corrupt: a chunk is damaged; the message names it.
Result<void> check_own_chunks(const File& file, const Front& front);

}  // namespace driftwood
