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

Result<FilesInUse> FilesInUse::read(const StoreFolder& folder) {
  DW_TRY_ASSIGN(const auto listed, folder.list());
  // To open one takes about as long as to read a chunk.
  std::vector<Result<std::vector<FileReference>>> references(listed.size());
  in_parallel(listed.size(), listed.size() * kChunkSize,
              [&](std::size_t i) { references[i] = references_of(folder, listed[i].root); });
  FilesInUse in_use;
  for (std::size_t i = 0; i < listed.size(); ++i) {
    Snapshot& snapshot = in_use.snapshots_[listed[i].root];
    if (references[i]) {
      for (const FileReference& reference : *references[i]) snapshot.headers.push_back(reference.header);
      for (const Hash& header : snapshot.headers) ++in_use.users_[header];
      continue;
    }
    // What is damaged there can never be read again, whatever is kept for it.
    const ErrorCode code = references[i].error().code;
    snapshot.unknown = code != ErrorCode::corrupt && code != ErrorCode::not_found;
    in_use.unknown_ += snapshot.unknown ? 1 : 0;
  }
  return in_use;
}

void FilesInUse::leave(const Hash& root) {
  const auto found = snapshots_.find(root);
  if (found == snapshots_.end()) return;
  for (const Hash& header : found->second.headers) {
    const auto user = users_.find(header);
    if (--user->second == 0) users_.erase(user);
  }
  unknown_ -= found->second.unknown ? 1 : 0;
  snapshots_.erase(found);
}

}  // namespace driftwood
