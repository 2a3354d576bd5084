// Models that a process may use, by name: loaded on first use, one Forward each,
// shared by all actors, and unloaded when others need their room. Any thread.
//
// Who holds a Forward keeps its model loaded, so holders let go after each use. A model
// that comes back is mapped again: no result depends on whether it was away.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.hpp"
#include "core/hash.hpp"
#include "device/device.hpp"
#include "llm/forward.hpp"
#include "model/model.hpp"

namespace driftwood {

struct ModelPoolOptions {
  /// Most bytes of weights loaded at a time: files as mapped, and what is packed beside them. 0: no limit.
  std::uint64_t weights_budget = 0;
  bool strict = false;                 ///< ForwardOptions::strict
  std::filesystem::path packed_cache;  ///< ForwardOptions::packed_cache
  std::uint32_t max_waiting = ForwardOptions().max_waiting;
};

/// A model as the pool has it now.
struct PooledModel {
  std::string name;
  std::filesystem::path path;
  bool loaded = false;
  std::uint64_t bytes = 0;  ///< of weights while it is loaded
};

class ModelPool {
 public:
  explicit ModelPool(Device& device, const ModelPoolOptions& options = {}) : device_(&device), options_(options) {}

  /// Makes `path` known under `name`; nothing is loaded. invalid_argument: the name is taken by another path.
  Result<void> add(std::string name, std::filesystem::path path);
  /// The model under `name`, loaded now if it is not. Where the budget asks for it, or the device has no room, the
  /// models that were not used for longest and that nobody holds are unloaded first. not_found: an unknown name;
  /// out_of_memory: it does not fit into the budget, or the device, beside those that are in use; else Model::open's
  /// errors.
  Result<std::shared_ptr<Forward>> open(std::string_view name, const std::function<void(double)>& progress = {});
  /// The hash of the model's file, where it has been loaded once; nothing where it was not, or the name is unknown.
  std::optional<Hash> known_hash(std::string_view name) const;
  bool knows(std::string_view name) const;
  /// The hash of the model's file, which is read for it unless it is known; nothing is loaded. not_found: an unknown
  /// name, or no file; else MappedFile::open's errors.
  Result<Hash> hash(std::string_view name);
  std::vector<PooledModel> list() const;
  Device& device() const noexcept { return *device_; }

 private:
  struct Entry {
    std::filesystem::path path;
    std::shared_ptr<Forward> forward;  ///< null: not loaded
    std::optional<Hash> hash;
    std::uint64_t last_opened = 0;  ///< by the pool's count of opens
  };

  // These need mutex_.
  Result<Entry*> find(std::string_view name);
  Result<std::shared_ptr<Forward>> load(std::string_view name, Entry& entry,
                                        const std::function<void(double)>& progress);
  Result<void> make_room(std::string_view name, std::uint64_t bytes);
  /// Unloads the model other than `name` that was not used for longest; false: all are in use.
  bool unload_one(std::string_view name);
  std::uint64_t loaded_bytes() const;

  Device* device_;
  ModelPoolOptions options_;
  mutable std::mutex mutex_;
  std::map<std::string, Entry, std::less<>> entries_;
  std::uint64_t opens_ = 0;
};

}  // namespace driftwood
