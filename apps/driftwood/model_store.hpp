// The models of this machine by name: those that were fetched lie in the store's
// folder, those that were added stay where they are and stand in its registry.json
//   {"models": [{"name", "path", "sha256", "bytes"}]}
// which is replaced as a whole, under a lock, so that no reader sees half of one.
// Several processes may use one store; a ModelStore serves one thread.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "catalogue.hpp"
#include "core/error.hpp"
#include "core/hash.hpp"

namespace driftwood::cli {

/// One model that has a name.
struct StoredModel {
  std::string name;
  std::filesystem::path path;
  std::uint64_t bytes = 0;
  Hash hash;
  bool fetched = false;  ///< from the catalogue, and lies in the store
  bool present = false;  ///< the file is there, with that size
};

/// What a name or a path on the command line stands for.
struct ResolvedModel {
  std::string name;  ///< short: as given, or the file's stem
  std::filesystem::path path;
};

/// An exclusive hold on a store. Move-only; ends with the object, or with the process.
class StoreLock {
 public:
  explicit StoreLock(int fd) : fd_(fd) {}
  ~StoreLock();
  StoreLock(StoreLock&& other) noexcept;
  StoreLock& operator=(StoreLock&&) = delete;

 private:
  int fd_;
};

class ModelStore {
 public:
  /// The store at `folder` (see model_store_path()), which need not exist yet.
  explicit ModelStore(std::filesystem::path folder) : folder_(std::move(folder)) {}

  const std::filesystem::path& folder() const noexcept { return folder_; }
  /// Where a model of the catalogue lies once it was fetched.
  std::filesystem::path path_of(const CatalogueModel& model) const { return folder_ / model.file; }

  /// Fetched and added models by name, those whose file is gone included. corrupt: the registry is not readable.
  Result<std::vector<StoredModel>> list() const;
  /// A short name, or the path of a GGUF file. not_found: neither, with the names that there are, or a name whose file
  /// is gone or was not fetched yet.
  Result<ResolvedModel> resolve(std::string_view name_or_path) const;
  /// Gives `file` a name (empty: its stem, in lower case) and remembers its path and hash.
  /// invalid_argument: a name that is taken, or has other characters than letters, digits, '.', '_', '-'.
  Result<StoredModel> add(const std::filesystem::path& file, std::string name);
  /// Forgets an added model, whose file stays, or deletes a fetched one.
  Result<StoredModel> remove(std::string_view name);

  /// Waits for other processes that change the store; makes its folder.
  Result<StoreLock> lock() const;

 private:
  Result<std::vector<StoredModel>> read_registry() const;
  Result<void> write_registry(const std::vector<StoredModel>& models) const;

  std::filesystem::path folder_;
};

}  // namespace driftwood::cli
