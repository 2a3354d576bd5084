#include "device/cuda/host_pages.hpp"

#include <cuda_runtime_api.h>

#include <algorithm>
#include <utility>

#include "core/bytes.hpp"
#include "device/cuda/status.hpp"
#include "memory/region.hpp"

namespace driftwood::cuda {

Result<HostPages::Hold> HostPages::hold(const std::byte* at, std::size_t size, bool read_only) {
  const auto address = reinterpret_cast<std::uintptr_t>(at);
  std::uintptr_t from = address / page_size() * page_size();
  const std::uintptr_t end = align_up(address + size, page_size());
  const std::lock_guard lock(mutex_);
  Hold hold;
  hold.pages_ = this;
  Result<void> added;
  // What is registered already is held as it is; what lies between is registered.
  auto next = blocks_.upper_bound(from);
  if (next != blocks_.begin() && std::prev(next)->first + std::prev(next)->second.size > from) --next;
  while (from < end && added) {
    if (next != blocks_.end() && next->first <= from) {
      ++next->second.holds;
      hold.blocks_.push_back(next->first);
      from = next->first + next->second.size;
      ++next;
    } else {
      const std::uintptr_t until = next == blocks_.end() ? end : std::min(end, next->first);
      added = add_block(from, until - from, read_only, hold);
      from = until;
    }
  }
  if (added) return hold;
  release(std::exchange(hold.blocks_, {}));
  return std::unexpected(std::move(added).error());
}

Result<void> HostPages::add_block(std::uintptr_t at, std::size_t size, bool read_only, Hold& hold) {
  unsigned flags = cudaHostRegisterMapped | cudaHostRegisterPortable;
  if (read_only) flags |= cudaHostRegisterReadOnly;
  DW_TRY(check(cudaHostRegister(reinterpret_cast<void*>(at), size, flags), "registering host memory"));
  blocks_.emplace(at, Block{size, 1});
  hold.blocks_.push_back(at);
  return {};
}

void HostPages::release(const std::vector<std::uintptr_t>& blocks) noexcept {
  for (const std::uintptr_t at : blocks) {
    const auto found = blocks_.find(at);
    DW_CHECK(found != blocks_.end());
    if (--found->second.holds > 0) continue;
    cudaHostUnregister(reinterpret_cast<void*>(at));
    blocks_.erase(found);
  }
}

HostPages::Hold::Hold(Hold&& other) noexcept
    : pages_(std::exchange(other.pages_, nullptr)), blocks_(std::exchange(other.blocks_, {})) {}

HostPages::Hold& HostPages::Hold::operator=(Hold&& other) noexcept {
  Hold taken(std::move(other));
  std::swap(pages_, taken.pages_);
  std::swap(blocks_, taken.blocks_);
  return *this;
}

HostPages::Hold::~Hold() {
  if (pages_ == nullptr || blocks_.empty()) return;
  const std::lock_guard lock(pages_->mutex_);
  pages_->release(blocks_);
}

}  // namespace driftwood::cuda
