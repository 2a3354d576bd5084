// A GGUF file's metadata and tensor directory, read from bytes that may be hostile.
//
// A parser of our own, because ggml's logs what is wrong instead of saying it, copies
// every string (a vocabulary has 100,000), and leaves the end of the file unchecked.
// Everything is bounds-checked once by parse(): what a Gguf hands out lies inside the
// bytes. It refuses what ggml would refuse, so a file that passes can be given to it.
// Format: ggml's docs/gguf.md, versions 2 and 3, little-endian.
//
// Immutable; any thread. Every view into it dies with the bytes given to parse().
#pragma once

#include <ggml.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "core/error.hpp"

namespace driftwood {

/// Numbers as in the file.
enum class GgufType : std::uint32_t { u8 = 0, i8, u16, i16, u32, i32, f32, boolean, string, array, u64, i64, f64 };

/// One metadata entry.
struct GgufValue {
  std::string_view key;
  GgufType type = GgufType::u8;  ///< of the elements when it is an array
  bool is_array = false;
  std::uint64_t count = 1;            ///< elements; 1 for a scalar
  std::span<const std::byte> data;    ///< the elements, as they lie in the file
  std::span<const std::byte> record;  ///< the whole entry: key, type and elements

  /// A scalar integer of any width that is not negative; nothing otherwise.
  std::optional<std::uint64_t> as_unsigned() const noexcept;
  std::optional<double> as_float() const noexcept;
  std::optional<bool> as_bool() const noexcept;
  std::optional<std::string_view> as_string() const noexcept;
  /// Element `index` (below count) of an array of integers or booleans; nothing if it is negative or of another type.
  std::optional<std::uint64_t> unsigned_at(std::uint64_t index) const noexcept;
  /// The elements of an array of strings; empty for any other value.
  std::vector<std::string_view> strings() const;
};

/// One tensor. The bytes lie in the file; their address is aligned as the file says.
struct GgufTensor {
  std::string_view name;
  ggml_type type = GGML_TYPE_F32;
  std::array<std::int64_t, GGML_MAX_DIMS> shape{1, 1, 1, 1};  ///< fastest-varying first; all at least 1
  std::size_t offset = 0;                                     ///< bytes from the beginning of the file
  std::size_t size = 0;                                       ///< bytes
};

class Gguf {
 public:
  /// corrupt: not GGUF, truncated or inconsistent, with what and where;
  /// unsupported: another version or byte order, a tensor type that ggml does not know, a split file.
  static Result<Gguf> parse(std::span<const std::byte> bytes);

  std::span<const GgufValue> values() const noexcept { return values_; }
  std::span<const GgufTensor> tensors() const noexcept { return tensors_; }
  /// Null when there is none.
  const GgufValue* find(std::string_view key) const noexcept;
  const GgufTensor* find_tensor(std::string_view name) const noexcept;
  std::uint32_t version() const noexcept { return version_; }

 private:
  Gguf() = default;

  std::uint32_t version_ = 0;
  std::vector<GgufValue> values_;
  std::vector<GgufTensor> tensors_;
  std::unordered_map<std::string_view, std::size_t> value_index_;
  std::unordered_map<std::string_view, std::size_t> tensor_index_;
};

}  // namespace driftwood
