// A device's hold on bytes of the host: what tensors are placed in.
//
// Move-only; the Device must outlive it. An Import of a Region also pins the
// range, so that its pages are not remapped underneath the device.
#pragma once

#include <ggml-backend.h>

#include <cstddef>

#include "device/sharing.hpp"
#include "memory/region.hpp"

namespace driftwood {

class Device;

class Import {
 public:
  Import() = default;
  Import(Import&& other) noexcept;
  Import& operator=(Import&& other) noexcept;
  ~Import();

  Sharing sharing() const noexcept { return sharing_; }
  std::size_t size() const noexcept { return size_; }
  /// The host's view of the bytes.
  std::byte* host() const noexcept { return host_; }
  /// The Region that the bytes lie in, and their offset there; null where they are the host's own.
  const Region* region() const noexcept { return pin_.region(); }
  std::size_t region_offset() const noexcept { return pin_.range().offset; }
  /// The address that the device's tensors get for `offset`. It equals host() + offset
  /// on devices that use the host's pointers, and is otherwise not to be dereferenced.
  std::byte* device_address(std::size_t offset) const noexcept { return device_base_ + offset; }
  ggml_backend_buffer_t buffer() const noexcept { return buffer_; }
  explicit operator bool() const noexcept { return buffer_ != nullptr; }

 private:
  friend class Device;

  Device* device_ = nullptr;
  ggml_backend_buffer_t buffer_ = nullptr;
  std::byte* host_ = nullptr;
  std::byte* device_base_ = nullptr;
  std::size_t size_ = 0;
  Sharing sharing_ = Sharing::copied;
  Pin pin_;
};

}  // namespace driftwood
