// Memory that a node and its device worker share for the bodies of their messages: one direction each, and a flag.
//
// Whoever receives copies before it looks: the other side could still write. One message is under way at a time, so
// there is no order to keep but the socket's.
#pragma once

#include <atomic>
#include <cstddef>
#include <memory>
#include <span>

#include "core/error.hpp"
#include "memory/layer_view.hpp"
#include "memory/memory_file.hpp"

namespace driftwood::worker {

class Letters {
 public:
  /// Room for bodies of `capacity` bytes (rounded up) in each direction, in a file of its own.
  static Result<Letters> create(std::size_t capacity);
  /// The other side's: `fd` is borrowed for the call. corrupt: the file is too small for `capacity`.
  static Result<Letters> open(int fd, std::size_t capacity);

  /// Borrowed; of the side that made them.
  int fd() const noexcept { return file_->fd(); }
  std::size_t capacity() const noexcept { return capacity_; }
  std::span<std::byte> requests() const noexcept { return {view_.data() + kFlags, capacity_}; }
  std::span<std::byte> answers() const noexcept { return {view_.data() + kFlags + capacity_, capacity_}; }
  /// Set by the node: what is being computed is not wanted any more.
  std::atomic<bool>& cancel() const noexcept { return *reinterpret_cast<std::atomic<bool>*>(view_.data()); }

 private:
  static constexpr std::size_t kFlags = 64;

  Letters(std::shared_ptr<MemoryFile> file, LayerView view, std::size_t capacity)
      : file_(std::move(file)), view_(std::move(view)), capacity_(capacity) {}

  std::shared_ptr<MemoryFile> file_;  ///< null in the worker
  LayerView view_;
  std::size_t capacity_;
};

static_assert(std::atomic<bool>::is_always_lock_free && sizeof(std::atomic<bool>) == 1);

}  // namespace driftwood::worker
