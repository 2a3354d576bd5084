#include "snapshot/files_in_use.hpp"

#include <vector>

#include "snapshot/image_chunks.hpp"
#include "snapshot/snapshot_file.hpp"

namespace driftwood {
namespace {

Result<std::vector<FileReference>> references_of(const StoreFolder& folder, const Hash& root) {
  DW_TRY_ASSIGN(const File file, folder.open_snapshot(root));
  return read_references(file);
}

}  // namespace

Result<FilesInUse> FilesInUse::read(const StoreFolder& folder, const Hash* leaving) {
  DW_TRY_ASSIGN(auto listed, folder.list());
  std::erase_if(listed, [&](const auto& one) { return leaving != nullptr && one.root == *leaving; });
  // To open one takes about as long as to read a chunk.
  std::vector<Result<std::vector<FileReference>>> references(listed.size());
  in_parallel(listed.size(), listed.size() * kChunkSize,
              [&](std::size_t i) { references[i] = references_of(folder, listed[i].root); });
  FilesInUse in_use;
  for (const auto& of_one : references) {
    if (of_one) {
      for (const FileReference& reference : *of_one) in_use.headers_.push_back(reference.header);
      continue;
    }
    // What is damaged there can never be read again, whatever is kept for it.
    const ErrorCode code = of_one.error().code;
    if (code != ErrorCode::corrupt && code != ErrorCode::not_found) in_use.some_unknown_ = true;
  }
  std::ranges::sort(in_use.headers_);
  const auto repeated = std::ranges::unique(in_use.headers_);
  in_use.headers_.erase(repeated.begin(), repeated.end());
  return in_use;
}

}  // namespace driftwood
