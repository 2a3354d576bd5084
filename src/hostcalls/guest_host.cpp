#include "hostcalls/guest_host.hpp"

#include <algorithm>
#include <utility>
#include <vector>

#include "hostcalls/call.hpp"
#include "hostcalls/guest_state.hpp"
#include "hostcalls/model_table.hpp"

namespace driftwood {

ByteRange GuestHost::State::held_range() const noexcept {
  return import_ ? ByteRange{import_.region_offset(), import_.size()} : ByteRange{};
}

/// All of linear memory where that costs nothing. Where the device has addresses of its own, no more than is used: each
/// page that it holds is pinned, and it may take only so much at once.
ByteRange GuestHost::State::import_range(const ByteRange& needed) const {
  const ByteRange all{0, region->size()};
  const DeviceCapabilities& can = options.device->info().capabilities;
  if (can.host_addresses) return all;
  const ByteRange wanted = hull(held_range(), needed);
  const std::size_t unit = std::max(can.import_alignment, page_size());
  const std::size_t start = wanted.offset & ~(unit - 1);
  const std::size_t end = std::min(align_up(wanted.offset + wanted.size, unit), all.size);
  return {start, end - start};
}

Result<const Import*> GuestHost::State::import(const ByteRange& needed) {
  if (options.device == nullptr || region == nullptr) {
    return fail(ErrorCode::unavailable, "This program was given no device to compute on.");
  }
  const ByteRange held = held_range();
  if (import_ && hull(held, needed) == held) return &import_;
  const ByteRange range = import_range(needed);
  drop_import();
  DW_TRY_ASSIGN(import_, options.device->import(*region, range));
  return &import_;
}

void GuestHost::State::drop_import() {
  tensor_cache.clear();
  import_ = Import();
}

std::int32_t GuestHost::State::remember(Error error) {
  last_error_ = error.to_string();
  return guest_errno(error.code);
}

std::int32_t GuestHost::State::remember_out_of_memory() noexcept {
  // An assignment that needs no more than the small buffer cannot fail in turn.
  last_error_.clear();
  last_error_ = "Out of memory.";
  return DW_E_OUT_OF_MEMORY;
}

GuestHost::GuestHost(GuestHostOptions options) : state_(std::make_unique<State>(std::move(options))) {
  const ModelPool* models = state_->options.models;
  DW_CHECK(models == nullptr || &models->device() == state_->options.device);
}

GuestHost::~GuestHost() = default;

void GuestHost::attach(Region& memory) {
  state_->drop_import();
  state_->region = &memory;
}

void GuestHost::set_channel(MessageChannel channel) {
  state_->channel = std::move(channel);
  state_->forget_error();
  state_->replied = false;
  state_->requests = {};
}

ActorRequests GuestHost::take_requests() noexcept { return std::exchange(state_->requests, {}); }

void GuestHost::set_cancelled(bool cancelled) noexcept {
  state_->cancelled.store(cancelled, std::memory_order_relaxed);
}

void GuestHost::drop_caches() { state_->drop_import(); }

std::vector<ModelHandle> GuestHost::model_handles() const { return driftwood::model_handles(*state_); }

Result<void> GuestHost::restore_model_handles(std::span<const ModelHandle> handles) {
  return driftwood::restore_model_handles(*state_, handles);
}

std::string_view GuestHost::last_error() const noexcept { return state_->last_error(); }

std::span<const HostFunction> guest_abi_functions() {
  static const std::vector<HostFunction> all = [] {
    std::vector<HostFunction> functions;
    for (const std::span<const HostFunction> group : {info_functions(), log_functions(), tensor_functions(),
                                                      model_functions(), llm_functions(), actor_functions()}) {
      functions.insert(functions.end(), group.begin(), group.end());
    }
    return functions;
  }();
  return all;
}

}  // namespace driftwood
