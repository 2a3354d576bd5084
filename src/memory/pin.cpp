#include <utility>

#include "memory/region.hpp"

namespace driftwood {

Pin::Pin(Pin&& other) noexcept
    : region_(std::exchange(other.region_, nullptr)), range_(std::exchange(other.range_, {})) {}

Pin& Pin::operator=(Pin&& other) noexcept {
  Pin released(std::move(*this));
  region_ = std::exchange(other.region_, nullptr);
  range_ = std::exchange(other.range_, {});
  return *this;
}

Pin::~Pin() {
  if (region_ != nullptr) region_->unpin(range_);
}

}  // namespace driftwood
