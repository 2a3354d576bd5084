// Makes each guest's linear memory a Region.
//
// Wasmtime asks one callback per engine for memories and does not say for which
// instance; a MemorySlot on the stack of the thread that instantiates ties the
// two together. Internal to src/wasm.
#pragma once

#include "memory/region.hpp"

struct wasm_config_t;

namespace driftwood {

/// Gives a Region to the one linear memory that Wasmtime makes on this thread while the slot lives.
/// Slots nest: the innermost one is used.
class MemorySlot {
 public:
  /// `region` is made with linear_memory_options() and outlives the guest's store. The guest begins with all of its
  /// bytes, which may be more than its module's minimum.
  explicit MemorySlot(Region& region);
  ~MemorySlot();
  MemorySlot(const MemorySlot&) = delete;
  MemorySlot& operator=(const MemorySlot&) = delete;

 private:
  friend struct MemoryCreator;
  Region& region_;
  bool taken_ = false;
  MemorySlot* outer_;
};

/// Has engines of this configuration take their memories from the MemorySlot.
void install_memory_creator(wasm_config_t* config);

}  // namespace driftwood
