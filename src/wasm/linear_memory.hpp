// Makes each guest's linear memory a Region.
//
// Wasmtime asks one callback per engine for memories and does not say for which
// instance; a MemorySlot on the stack of the thread that instantiates ties the
// two together. It may carry a Region that is already mapped, which the guest
// then starts from. Internal to src/wasm.
#pragma once

#include <functional>
#include <memory>
#include <optional>

#include "core/error.hpp"
#include "memory/region.hpp"

struct wasm_config_t;

namespace driftwood {

/// Takes the one linear memory that Wasmtime makes on this thread while it lives.
/// Slots nest: the innermost one is used.
class MemorySlot {
 public:
  /// `prepared`: used instead of a fresh Region, or null. `ready`: told of the Region before the guest runs, or empty.
  MemorySlot(std::unique_ptr<Region> prepared, std::function<void(Region&)> ready);
  ~MemorySlot();
  MemorySlot(const MemorySlot&) = delete;
  MemorySlot& operator=(const MemorySlot&) = delete;

  /// The Region that the guest got, or null when it has no memory. It must live as long as the guest's store.
  std::unique_ptr<Region> take() noexcept { return std::move(region_); }
  /// Why no Region could be made.
  const std::optional<Error>& error() const noexcept { return error_; }

 private:
  friend struct MemoryCreator;
  std::unique_ptr<Region> region_;
  std::function<void(Region&)> ready_;
  std::optional<Error> error_;
  MemorySlot* outer_;
};

/// Has engines of this configuration take their memories from the MemorySlot.
void install_memory_creator(wasm_config_t* config);

}  // namespace driftwood
