#include "llm/model_pool.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <ranges>
#include <vector>

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

Result<std::shared_ptr<Forward>> ModelPool::open(std::string_view name, const std::function<void(double)>& progress) {
  // Held while loading: whoever asks for the same model meanwhile waits for it.
  const std::lock_guard lock(mutex_);
  const auto found = entries_.find(name);
  if (found == entries_.end()) {
    return fail(
        ErrorCode::not_found,
        fmt::format("There is no model '{}'; known are: {}.", name,
                    entries_.empty() ? "none" : fmt::format("{}", fmt::join(std::views::keys(entries_), ", "))));
  }
  Entry& entry = found->second;
  if (entry.forward == nullptr) {
    DW_TRY_ASSIGN(auto model, Model::open(entry.path, *device_, {.name = found->first, .progress = progress}));
    DW_TRY_ASSIGN(entry.forward, Forward::create(std::move(model)));
  }
  return entry.forward;
}

}  // namespace driftwood
