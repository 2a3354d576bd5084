// Host memory that a device may reach: pages registered with CUDA, counted, so that ranges may overlap.
//
// Registering pins a page where it lies. A page that is mapped copy-on-write is copied
// by it, as by a write; and a registered range goes on showing its old pages to the
// device when others are mapped there. So ranges are registered when an operand is
// placed in them, not before, and let go before memory is mapped anew (Import's pin
// sees to it). Any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <vector>

#include "core/error.hpp"

namespace driftwood::cuda {

class HostPages {
 public:
  /// A hold on the pages of a range; move-only.
  class Hold {
   public:
    Hold() = default;
    Hold(Hold&& other) noexcept;
    Hold& operator=(Hold&& other) noexcept;
    ~Hold();

   private:
    friend class HostPages;
    HostPages* pages_ = nullptr;
    std::vector<std::uintptr_t> blocks_;  ///< by address
  };

  /// Registers what is not registered yet. out_of_memory, unsupported: the driver refused; nothing is held then.
  Result<Hold> hold(const std::byte* at, std::size_t size, bool read_only);

 private:
  struct Block {
    std::size_t size;
    int holds;
  };

  Result<void> add_block(std::uintptr_t at, std::size_t size, bool read_only, Hold& hold);
  void release(const std::vector<std::uintptr_t>& blocks) noexcept;

  std::mutex mutex_;
  std::map<std::uintptr_t, Block> blocks_;
};

}  // namespace driftwood::cuda
