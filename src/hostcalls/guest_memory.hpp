// The one way in which host calls read and write a guest's linear memory.
//
// Every offset, length and alignment is checked against the memory's size; a wrong
// one gives invalid_argument with the call, the argument and the values in the
// sentence. Structs are copied out before they are looked at, so that what was
// checked is what is used. Spans die when the memory does, and are too short after
// it grew. Cheap to make anew for each call; one thread at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <type_traits>

#include "core/bytes.hpp"
#include "core/error.hpp"

namespace driftwood {

/// Which argument of which call, for the sentences of errors: {"dw_forward", "tokens"}.
struct Argument {
  const char* call;
  const char* name;
};

/// A checked range with its name.
struct NamedRange {
  Argument argument;
  ByteRange range;
};

class GuestMemory {
 public:
  GuestMemory() = default;
  GuestMemory(std::byte* data, std::size_t size) : data_(data), size_(size) {}

  std::size_t size() const noexcept { return size_; }
  std::byte* data() const noexcept { return data_; }
  std::span<std::byte> view(const ByteRange& range) const noexcept { return {data_ + range.offset, range.size}; }

  /// [offset, offset + size) when it lies in the memory and `offset` is a multiple of `alignment`.
  Result<ByteRange> range(Argument argument, std::uint32_t offset, std::uint64_t size,
                          std::size_t alignment = 1) const {
    const ByteRange wanted{offset, size};
    if (wanted.within(size_) && is_aligned(offset, alignment)) return wanted;
    return bad_range(argument, wanted, alignment);
  }
  Result<std::span<std::byte>> bytes(Argument argument, std::uint32_t offset, std::uint64_t size,
                                     std::size_t alignment = 1) const {
    DW_TRY_ASSIGN(const ByteRange wanted, range(argument, offset, size, alignment));
    return view(wanted);
  }

  /// `count` elements, aligned as their type is.
  template <typename T>
  Result<std::span<T>> array(Argument argument, std::uint32_t offset, std::uint32_t count) const {
    static_assert(std::is_trivially_copyable_v<T>);
    DW_TRY_ASSIGN(const ByteRange wanted, range(argument, offset, std::uint64_t{count} * sizeof(T), alignof(T)));
    return std::span<T>(reinterpret_cast<T*>(data_ + wanted.offset), count);
  }

  /// At most `limit` bytes of text; it need not be UTF-8.
  Result<std::string_view> text(Argument argument, std::uint32_t offset, std::uint32_t length,
                                std::uint32_t limit) const;

  /// A copy of a struct.
  template <typename T>
  Result<T> read(Argument argument, std::uint32_t offset) const {
    static_assert(std::is_trivially_copyable_v<T>);
    DW_TRY_ASSIGN(const ByteRange wanted, range(argument, offset, sizeof(T), alignof(T)));
    T value;
    std::memcpy(&value, data_ + wanted.offset, sizeof(T));
    return value;
  }

  /// A copy of a struct whose first field, `size`, must be its own size.
  template <typename T>
  Result<T> read_sized(Argument argument, std::uint32_t offset) const {
    DW_TRY_ASSIGN(const std::uint32_t given, read<std::uint32_t>(argument, offset));
    if (given != sizeof(T)) return bad_struct_size(argument, given, sizeof(T));
    return read<T>(argument, offset);
  }

  template <typename T>
  Result<void> write(Argument argument, std::uint32_t offset, const T& value) const {
    static_assert(std::is_trivially_copyable_v<T>);
    DW_TRY_ASSIGN(const ByteRange wanted, range(argument, offset, sizeof(T), alignof(T)));
    std::memcpy(data_ + wanted.offset, &value, sizeof(T));
    return {};
  }

  /// Copies as many elements as fit into the guest's array of `capacity`; the value is how many there are in all.
  template <typename T>
  Result<std::int32_t> give(Argument argument, std::uint32_t offset, std::uint32_t capacity,
                            std::span<const T> elements) const {
    DW_TRY_ASSIGN(const std::span<T> out, array<T>(argument, offset, capacity));
    if (elements.size() > INT32_MAX) return too_many(argument, elements.size());
    const std::size_t n = elements.size() < out.size() ? elements.size() : out.size();
    if (n != 0) std::memcpy(out.data(), elements.data(), n * sizeof(T));
    return static_cast<std::int32_t>(elements.size());
  }

 private:
  std::unexpected<Error> bad_range(Argument argument, const ByteRange& wanted, std::size_t alignment) const;
  static std::unexpected<Error> bad_struct_size(Argument argument, std::uint32_t given, std::size_t size);
  static std::unexpected<Error> too_many(Argument argument, std::size_t count);

  std::byte* data_ = nullptr;
  std::size_t size_ = 0;
};

/// The smallest range that holds both, of which an empty one has no place. Both were checked against one memory.
constexpr ByteRange hull(const ByteRange& a, const ByteRange& b) noexcept {
  if (a.size == 0) return b;
  if (b.size == 0) return a;
  const std::size_t start = a.offset < b.offset ? a.offset : b.offset;
  const std::size_t a_end = a.offset + a.size;
  const std::size_t b_end = b.offset + b.size;
  return {start, (a_end > b_end ? a_end : b_end) - start};
}

/// invalid_argument when two of the ranges share a byte, naming both.
Result<void> check_disjoint(std::span<const NamedRange> ranges);

}  // namespace driftwood
