#include "llm/model_pool.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <ranges>
#include <system_error>
#include <utility>
#include <vector>

#include "core/bytes.hpp"
#include "model/mapped_file.hpp"
#include "model/model_hash.hpp"

namespace driftwood {

Result<void> ModelPool::add(std::string name, std::filesystem::path path) {
  const std::lock_guard lock(mutex_);
  const auto [entry, is_new] = entries_.try_emplace(std::move(name));
  if (is_new) {
    entry->second.path = std::move(path);
  } else if (entry->second.path != path) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("The model name '{}' already stands for {}; it cannot also stand for {}.", entry->first,
                            entry->second.path.string(), path.string()));
  }
  return {};
}

Result<ModelPool::Entry*> ModelPool::find(std::string_view name) {
  if (const auto found = entries_.find(name); found != entries_.end()) return &found->second;
  return fail(ErrorCode::not_found,
              fmt::format("There is no model '{}'; known are: {}.", name,
                          entries_.empty() ? "none" : fmt::format("{}", fmt::join(std::views::keys(entries_), ", "))));
}

Result<std::shared_ptr<Forward>> ModelPool::open(std::string_view name, const std::function<void(double)>& progress) {
  // Held while loading: whoever asks for the same model meanwhile waits for it.
  const std::lock_guard lock(mutex_);
  DW_TRY_ASSIGN(Entry* const found, find(name));
  Entry& entry = *found;
  entry.last_opened = ++opens_;
  if (entry.forward == nullptr) {
    std::error_code unreadable;  // which opening it tells better
    const std::uintmax_t file_bytes = std::filesystem::file_size(entry.path, unreadable);
    if (!unreadable) DW_TRY(make_room(name, file_bytes));
    auto loaded = load(name, entry, progress);
    while (!loaded && loaded.error().code == ErrorCode::out_of_memory && unload_one(name)) {
      loaded = load(name, entry, progress);
    }
    DW_TRY_ASSIGN(entry.forward, std::move(loaded));
    // Packed weights are known only now.
    DW_TRY(make_room(name, 0));
  }
  return entry.forward;
}

Result<std::shared_ptr<Forward>> ModelPool::load(std::string_view name, Entry& entry,
                                                 const std::function<void(double)>& progress) {
  DW_TRY_ASSIGN(auto model, Model::open(entry.path, *device_, {.name = std::string(name), .progress = progress}));
  entry.hash = model->hash();
  return Forward::create(std::move(model), {.chunk = device_->info().capabilities.prompt_chunk,
                                            .max_waiting = options_.max_waiting,
                                            .strict = options_.strict,
                                            .packed_cache = options_.packed_cache});
}

bool ModelPool::unload_one(std::string_view name) {
  Entry* oldest = nullptr;
  for (auto& [other, entry] : entries_) {
    const bool idle = other != name && entry.forward != nullptr && entry.forward.use_count() == 1;
    if (idle && (oldest == nullptr || entry.last_opened < oldest->last_opened)) oldest = &entry;
  }
  if (oldest == nullptr) return false;
  oldest->forward = nullptr;
  return true;
}

Result<void> ModelPool::make_room(std::string_view name, std::uint64_t bytes) {
  if (options_.weights_budget == 0) return {};
  while (loaded_bytes() + bytes > options_.weights_budget) {
    if (unload_one(name)) continue;
    const std::uint64_t needed = loaded_bytes() + bytes;
    entries_.find(name)->second.forward = nullptr;
    return fail(ErrorCode::out_of_memory,
                fmt::format("The model '{}' does not fit: with what is in use, {} of weights would be loaded, and the "
                            "budget is {}.",
                            name, format_bytes(needed), format_bytes(options_.weights_budget)));
  }
  return {};
}

std::uint64_t ModelPool::loaded_bytes() const {
  std::uint64_t bytes = 0;
  for (const Entry& entry : std::views::values(entries_)) {
    if (entry.forward != nullptr) bytes += entry.forward->weight_bytes();
  }
  return bytes;
}

std::optional<Hash> ModelPool::known_hash(std::string_view name) const {
  const std::lock_guard lock(mutex_);
  const auto found = entries_.find(name);
  return found == entries_.end() ? std::nullopt : found->second.hash;
}

Result<Hash> ModelPool::hash(std::string_view name) {
  std::filesystem::path path;
  {
    const std::lock_guard lock(mutex_);
    DW_TRY_ASSIGN(const Entry* entry, find(name));
    if (entry->hash) return *entry->hash;
    path = entry->path;
  }
  DW_TRY_ASSIGN(const auto file, MappedFile::open(path));
  const Hash hash = model_hash(path, *file, {});
  const std::lock_guard lock(mutex_);
  DW_TRY_ASSIGN(Entry* const entry, find(name));
  if (!entry->hash) entry->hash = hash;  // or it was loaded meanwhile
  return *entry->hash;
}

bool ModelPool::knows(std::string_view name) const {
  const std::lock_guard lock(mutex_);
  return entries_.contains(name);
}

std::vector<PooledModel> ModelPool::list() const {
  const std::lock_guard lock(mutex_);
  std::vector<PooledModel> models;
  for (const auto& [name, entry] : entries_) {
    const bool loaded = entry.forward != nullptr;
    models.push_back({name, entry.path, loaded, loaded ? entry.forward->weight_bytes() : 0});
  }
  return models;
}

}  // namespace driftwood
