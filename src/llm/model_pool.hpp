// Models that a process may use, by name: loaded on first use, one Forward each,
// shared by all actors. Any thread.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "core/error.hpp"
#include "device/device.hpp"
#include "llm/forward.hpp"
#include "model/model.hpp"

namespace driftwood {

class ModelPool {
 public:
  explicit ModelPool(Device& device) : device_(&device) {}

  /// Makes `path` known under `name`; nothing is loaded. invalid_argument: the name is taken by another path.
  Result<void> add(std::string name, std::filesystem::path path);
  /// The model under `name`, loaded now if it was not yet. not_found: an unknown name; else Model::open's errors.
  Result<std::shared_ptr<Forward>> open(std::string_view name, const std::function<void(double)>& progress = {});
  Device& device() const noexcept { return *device_; }

 private:
  struct Entry {
    std::filesystem::path path;
    std::shared_ptr<Forward> forward;
  };
  Device* device_;
  std::mutex mutex_;
  std::map<std::string, Entry, std::less<>> entries_;
};

}  // namespace driftwood
