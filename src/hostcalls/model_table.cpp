#include "hostcalls/model_table.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

namespace driftwood {
namespace {

Result<void> check_granted(const GuestHost::State& state, std::string_view name) {
  const std::set<std::string, std::less<>>& granted = state.options.grants.models;
  if (granted.contains(name) && state.options.models != nullptr) return {};
  const std::string allowed =
      granted.empty() ? "it may use none" : fmt::format("it may use: {}", fmt::join(granted, ", "));
  return fail(ErrorCode::not_found,
              fmt::format("The model \"{}\" was not granted to this program; {}.", name, allowed));
}

Result<void> check_same(std::string_view name, const Hash& wanted, const Hash& found) {
  if (wanted == found) return {};
  return fail(ErrorCode::incompatible,
              fmt::format("The model \"{}\" is another file (SHA-256 {}) than the one this actor runs on (SHA-256 {}).",
                          name, found.to_hex(), wanted.to_hex()));
}

}  // namespace

Result<std::int32_t> open_model(GuestHost::State& state, std::string_view name) {
  DW_TRY(check_granted(state, name));
  const auto free = std::ranges::find_if(state.models, [](const OpenModel& model) { return model.name.empty(); });
  if (free == state.models.end()) {
    return fail(ErrorCode::unavailable,
                fmt::format("This program has {} models open, which is the most; close one.", state.models.size()));
  }
  DW_TRY_ASSIGN(const auto forward, state.options.models->open(name));
  *free = {std::string(name), forward->model().hash(), forward};
  return static_cast<std::int32_t>(free - state.models.begin()) + 1;
}

Result<std::shared_ptr<Forward>> find_model(GuestHost::State& state, const char* call, std::int32_t handle) {
  const auto index = static_cast<std::uint32_t>(handle) - 1;  // 0 and negative handles become too large
  if (index >= state.models.size() || state.models[index].name.empty()) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("The argument \"model\" of {} ({}) is not the handle of an open model.", call, handle));
  }
  OpenModel& open = state.models[index];
  if (auto forward = open.forward.lock()) return forward;
  DW_TRY_ASSIGN(auto forward, state.options.models->open(open.name));
  DW_TRY(check_same(open.name, open.hash, forward->model().hash()));
  open.forward = forward;
  return forward;
}

std::vector<ModelHandle> model_handles(const GuestHost::State& state) {
  std::vector<ModelHandle> handles;
  for (std::size_t i = 0; i < state.models.size(); ++i) {
    const OpenModel& open = state.models[i];
    if (!open.name.empty()) handles.push_back({static_cast<std::uint32_t>(i + 1), open.name, open.hash});
  }
  return handles;
}

Result<void> restore_model_handles(GuestHost::State& state, std::span<const ModelHandle> handles) {
  std::array<OpenModel, DW_MAX_MODELS> models;
  for (const ModelHandle& handle : handles) {
    if (handle.handle == 0 || handle.handle > models.size() || handle.name.empty() ||
        !models[handle.handle - 1].name.empty()) {
      return fail(ErrorCode::corrupt,
                  fmt::format("The actor's handle {} for the model \"{}\" is not one of 1 to {}, or there twice.",
                              handle.handle, handle.name, models.size()));
    }
    DW_TRY(check_granted(state, handle.name));
    if (!state.options.models->knows(handle.name)) {
      return fail(ErrorCode::not_found,
                  fmt::format("This actor runs on the model \"{}\" (SHA-256 {}), which is not here.", handle.name,
                              handle.hash.to_hex()));
    }
    DW_TRY_ASSIGN(const Hash found, state.options.models->hash(handle.name));
    DW_TRY(check_same(handle.name, handle.hash, found));
    models[handle.handle - 1] = {handle.name, handle.hash, {}};
  }
  state.models = std::move(models);
  return {};
}

}  // namespace driftwood
