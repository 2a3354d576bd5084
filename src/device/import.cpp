#include "device/import.hpp"

#include <utility>

#include "device/device.hpp"

namespace driftwood {

Import::Import(Import&& other) noexcept
    : device_(std::exchange(other.device_, nullptr)),
      buffer_(std::exchange(other.buffer_, nullptr)),
      host_(std::exchange(other.host_, nullptr)),
      device_base_(std::exchange(other.device_base_, nullptr)),
      size_(std::exchange(other.size_, 0)),
      sharing_(std::exchange(other.sharing_, Sharing::copied)),
      pin_(std::move(other.pin_)) {}

Import& Import::operator=(Import&& other) noexcept {
  Import taken(std::move(other));
  std::swap(device_, taken.device_);
  std::swap(buffer_, taken.buffer_);
  std::swap(host_, taken.host_);
  std::swap(device_base_, taken.device_base_);
  std::swap(size_, taken.size_);
  std::swap(sharing_, taken.sharing_);
  std::swap(pin_, taken.pin_);
  return *this;
}

Import::~Import() {
  // The device lets go first; the pin is released after it.
  if (device_ != nullptr) device_->release(buffer_);
}

}  // namespace driftwood
