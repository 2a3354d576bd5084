// What the host calls of one guest work on. See guest_host.hpp for who may use it.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <string>

#include "device/import.hpp"
#include "hostcalls/guest_abi.hpp"
#include "hostcalls/guest_host.hpp"
#include "hostcalls/guest_memory.hpp"
#include "hostcalls/tensor_cache.hpp"
#include "llm/forward.hpp"

namespace driftwood {

/// What a handle stands for. The handle is the guest's; the Forward is the pool's and only looked at here, so that a
/// model which nobody computes with can be unloaded.
struct OpenModel {
  std::string name;  ///< empty: the handle is free
  Hash hash;
  std::weak_ptr<Forward> forward;
};

struct GuestHost::State {
  explicit State(GuestHostOptions given) : options(std::move(given)) {}

  GuestHostOptions options;
  Region* region = nullptr;
  MessageChannel channel;
  bool replied = false;
  ActorRequests requests;
  std::atomic<bool> cancelled{false};

  /// Open models by handle - 1.
  std::array<OpenModel, DW_MAX_MODELS> models;
  TensorCache tensor_cache;

  /// Linear memory as it is now; empty before attach(), so that every range is refused.
  GuestMemory memory() const noexcept {
    return region == nullptr ? GuestMemory() : GuestMemory(region->data(), region->size());
  }
  /// True when the guest shall end what it does.
  const std::atomic<bool>& cancel_flag() const noexcept {
    return channel.cancelled != nullptr ? *channel.cancelled : cancelled;
  }
  /// The device's hold on `needed`, a checked range of linear memory that is not empty, and maybe on more; made when
  /// needed, and again where a call needs more than the last ones. Offsets in it count from its region_offset().
  /// unavailable without a device or memory; else the device's errors.
  Result<const Import*> import(const ByteRange& needed);
  /// Drops the hold and all graphs that are bound to it.
  void drop_import();

  /// Keeps the sentence for last_error; the value is the call's result.
  std::int32_t remember(Error error);
  std::int32_t remember_out_of_memory() noexcept;
  const std::string& last_error() const noexcept { return last_error_; }
  void forget_error() noexcept { last_error_.clear(); }

 private:
  ByteRange held_range() const noexcept;
  ByteRange import_range(const ByteRange& needed) const;

  std::string last_error_;
  Import import_;
};

}  // namespace driftwood
