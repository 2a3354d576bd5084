// A large, aligned piece of linear memory with one owner.
//
// Aligned to whole pages of the host where it matters: only pages that belong to one thing alone are shared, sealed and
// forked apart.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <span>
#include <string>

#include "driftwood.h"
#include "driftwood/result.hpp"

namespace driftwood::guest {

class Block {
 public:
  Block() = default;

  /// `alignment` is a power of two. The content is unspecified: fresh pages stay untouched.
  /// out_of_memory: linear memory can't grow that far.
  static Result<Block> allocate(std::uint64_t bytes, std::size_t alignment) {
    const std::uint64_t rounded = (bytes + alignment - 1) / alignment * alignment;
    void* memory = rounded > SIZE_MAX ? nullptr : std::aligned_alloc(alignment, static_cast<std::size_t>(rounded));
    if (memory == nullptr) {
      return fail(DW_E_OUT_OF_MEMORY, "Linear memory has no room for " + std::to_string(bytes) + " bytes more.");
    }
    Block block;
    block.memory_.reset(static_cast<std::byte*>(memory));
    block.size_ = static_cast<std::size_t>(bytes);
    return block;
  }

  std::byte* data() const noexcept { return memory_.get(); }
  std::size_t size() const noexcept { return size_; }
  /// The block as elements of a plain type; valid as long as the block.
  template <typename T>
  std::span<T> as() const noexcept {
    return {reinterpret_cast<T*>(memory_.get()), size_ / sizeof(T)};
  }

 private:
  struct Free {
    void operator()(std::byte* memory) const noexcept { std::free(memory); }
  };
  std::unique_ptr<std::byte[], Free> memory_;
  std::size_t size_ = 0;
};

}  // namespace driftwood::guest
