// Bytes of linear memory that a guest names to a WASI function. Internal to src/wasm.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "core/bytes.hpp"
#include "memory/region.hpp"

namespace driftwood {

/// All of the bytes are there, or none. Dies when the memory grows.
class GuestArray {
 public:
  GuestArray(Region* memory, std::int32_t address, std::uint64_t size)
      : bytes_(memory != nullptr ? memory->bytes() : std::span<std::byte>()),
        range_{static_cast<std::uint32_t>(address), size} {}
  bool is_there() const { return range_.within(bytes_.size()); }
  /// Needs is_there(), as bytes() does.
  std::byte* at(std::uint64_t offset) const { return bytes_.data() + range_.offset + offset; }
  std::span<std::byte> bytes() const { return bytes_.subspan(range_.offset, range_.size); }

 private:
  std::span<std::byte> bytes_;
  ByteRange range_;
};

}  // namespace driftwood
