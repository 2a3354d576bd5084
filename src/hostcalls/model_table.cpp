#include "hostcalls/model_table.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

namespace driftwood {

Result<std::int32_t> open_model(GuestHost::State& state, std::string_view name) {
  const std::set<std::string, std::less<>>& granted = state.options.grants.models;
  if (!granted.contains(name) || state.options.models == nullptr) {
    const std::string allowed =
        granted.empty() ? "it may use none" : fmt::format("it may use: {}", fmt::join(granted, ", "));
    return fail(ErrorCode::not_found,
                fmt::format("The model \"{}\" was not granted to this program; {}.", name, allowed));
  }
  const auto free = std::find(state.models.begin(), state.models.end(), nullptr);
  if (free == state.models.end()) {
    return fail(ErrorCode::unavailable,
                fmt::format("This program has {} models open, which is the most; close one.", state.models.size()));
  }
  DW_TRY_ASSIGN(*free, state.options.models->open(name));
  return static_cast<std::int32_t>(free - state.models.begin()) + 1;
}

Result<Forward*> find_model(GuestHost::State& state, const char* call, std::int32_t handle) {
  const auto index = static_cast<std::uint32_t>(handle) - 1;  // 0 and negative handles become too large
  if (index < state.models.size() && state.models[index] != nullptr) return state.models[index].get();
  return fail(ErrorCode::invalid_argument,
              fmt::format("The argument \"model\" of {} ({}) is not the handle of an open model.", call, handle));
}

}  // namespace driftwood
