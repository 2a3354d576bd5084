#include "wasm/linear_memory.hpp"

#include <wasmtime.h>

#include <utility>

namespace driftwood {

namespace {

thread_local MemorySlot* current_slot = nullptr;

std::uint8_t* get_memory(void* env, std::size_t* size, std::size_t* capacity) {
  auto& region = *static_cast<Region*>(env);
  *size = region.size();
  *capacity = region.reserved();
  return reinterpret_cast<std::uint8_t*>(region.data());
}

wasmtime_error_t* grow_memory(void* env, std::size_t new_size) {
  if (auto grown = static_cast<Region*>(env)->grow(new_size); !grown) {
    return wasmtime_error_new(grown.error().message.c_str());
  }
  return nullptr;
}

}  // namespace

struct MemoryCreator {
  static wasmtime_error_t* new_memory(void* /*env*/, const wasm_memorytype_t* /*type*/, std::size_t minimum,
                                      std::size_t /*maximum*/, std::size_t reserved, std::size_t guard,
                                      wasmtime_linear_memory_t* memory) {
    MemorySlot* slot = current_slot;
    if (slot == nullptr || std::exchange(slot->taken_, true)) {
      return wasmtime_error_new("no memory was prepared for it");
    }
    Region& region = slot->region_;
    DW_CHECK(region.size() >= minimum && region.reserved() == reserved && region.guard() >= guard);
    *memory = {.env = &region, .get_memory = get_memory, .grow_memory = grow_memory, .finalizer = nullptr};
    return nullptr;
  }
};

MemorySlot::MemorySlot(Region& region) : region_(region), outer_(std::exchange(current_slot, this)) {}

MemorySlot::~MemorySlot() { current_slot = outer_; }

void install_memory_creator(wasm_config_t* config) {
  wasmtime_memory_creator_t creator{.env = nullptr, .new_memory = MemoryCreator::new_memory, .finalizer = nullptr};
  wasmtime_config_host_memory_creator_set(config, &creator);
}

}  // namespace driftwood
