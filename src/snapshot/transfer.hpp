// A snapshot as one file, to be carried to another machine.
//
// The file is whole: it refers to no other. What is imported is checked first: each chunk against its hash, all hashes
// against the root, the root against a signature where one is asked for. Any thread.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "core/error.hpp"
#include "snapshot/manifest.hpp"
#include "snapshot/signature.hpp"
#include "snapshot/store.hpp"

namespace driftwood {

struct ExportOptions {
  std::optional<int> compression;           ///< a level of zstd, 1 to 19; without it the file can be mapped as it lies
  const SigningKey* signing_key = nullptr;  ///< signs the root hash
  StoreStep on_step;                        ///< for tests
};

struct ExportInfo {
  std::uint64_t bytes = 0;         ///< of the file
  std::uint64_t memory_bytes = 0;  ///< of the chunks in it
};

/// Checks the snapshot in the store and writes all of it to `path`, which appears whole and on the disk, or not at all.
/// not_found: no such snapshot, or no folder of that name; corrupt: the store's files are damaged; invalid_argument:
/// the path is taken, or the level is none; unavailable: the system refuses (a full disk).
Result<ExportInfo> export_snapshot(Store& store, const SnapshotId& id, const std::filesystem::path& path,
                                   const ExportOptions& options = {});

struct ImportOptions {
  std::vector<PublicKey> trusted;  ///< unless empty, one of these must have signed
  std::string label;               ///< to give it in the store; empty: its manifest's, unless another snapshot has it
};

struct ImportInfo {
  SnapshotId id;
  std::optional<PublicKey> signer;
};

/// not_found: no such file; corrupt, incompatible: it is damaged, no snapshot, or of another version; invalid_argument:
/// it is only a part of a snapshot, or not signed by one who is trusted. The store is then as it was.
Result<ImportInfo> import_snapshot(const std::filesystem::path& path, Store& store, const ImportOptions& options = {});

/// What a snapshot file says of itself, without its memory: any version 1 file, in a store or exported.
struct SnapshotFileInfo {
  SnapshotId id;
  Manifest manifest;
  std::uint64_t memory_size = 0;
  std::uint64_t file_size = 0;
  std::uint64_t chunks = 0;      ///< that are not zero
  std::uint64_t own_chunks = 0;  ///< of these, in this file
  bool packed = false;
  std::optional<PublicKey> signer;
};
Result<SnapshotFileInfo> read_snapshot_info(const std::filesystem::path& path);

}  // namespace driftwood
