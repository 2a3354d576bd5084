// An import of this process as its device worker has it. Belongs to whoever holds the Import; the table of them is the
// device's.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "core/bytes.hpp"
#include "device/worker/wire.hpp"
#include "memory/layer_view.hpp"
#include "memory/memory_file.hpp"
#include "memory/region.hpp"

namespace driftwood::worker {

struct RemoteImport {
  std::uint64_t id = 0;
  std::byte* data = nullptr;    ///< of the host
  LayerView addresses;          ///< that nothing is mapped at
  std::byte* device = nullptr;  ///< in them, where the node's tensors lie; as aligned as `data`
  std::size_t size = 0;
  bool read_only = false;
  Region* region = nullptr;       ///< null: `file` has the bytes
  std::size_t region_offset = 0;  ///< of the first byte
  FileBytes file;
  std::shared_ptr<MemoryFile> copy;  ///< what `file` names, where the bytes lay in no file
  std::uint64_t worker = 0;          ///< the worker that has it, by its number; 0: none
  std::uint64_t version = 0;         ///< of the Region's pages, as that worker has them

  /// Sets `addresses` and `device`. out_of_memory.
  Result<void> reserve_addresses(std::size_t alignment);

  /// The pages and the files to send; `writes` are offsets in the import. Keeps the files open in `held`. `version`: of
  /// the Region's pages.
  struct Mapping {
    ImportRequest request;
    std::vector<int> files;
    std::vector<std::shared_ptr<const void>> held;
    std::uint64_t version = 0;
  };
  /// Fails as Region::share does; unsupported: the pages lie in more files than one message takes.
  Result<Mapping> map(std::span<const ByteRange> writes) const;
};

}  // namespace driftwood::worker
