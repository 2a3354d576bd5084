#include "snapshot/files_in_use.hpp"

#include <vector>

#include "snapshot/snapshot_file.hpp"

namespace driftwood {
namespace {

Result<std::vector<FileReference>> references_of(const StoreFolder& folder, const Hash& root) {
  DW_TRY_ASSIGN(const File file, folder.open_snapshot(root));
  return read_references(file);
}

}  // namespace

Result<FilesInUse> FilesInUse::read(const StoreFolder& folder, const Hash* leaving) {
  DW_TRY_ASSIGN(const auto listed, folder.list());
  FilesInUse in_use;
  for (const StoreFolder::Listed& one : listed) {
    if (leaving != nullptr && one.root == *leaving) continue;
    const auto references = references_of(folder, one.root);
    if (references) {
      for (const FileReference& reference : *references) in_use.headers_.push_back(reference.header);
      continue;
    }
    // What is damaged there can never be read again, whatever is kept for it.
    const ErrorCode code = references.error().code;
    if (code != ErrorCode::corrupt && code != ErrorCode::not_found) in_use.some_unknown_ = true;
  }
  std::ranges::sort(in_use.headers_);
  const auto repeated = std::ranges::unique(in_use.headers_);
  in_use.headers_.erase(repeated.begin(), repeated.end());
  return in_use;
}

}  // namespace driftwood
