#include <cstring>

#include "model/gguf.hpp"

namespace driftwood {
namespace {

template <typename T>
T read_at(std::span<const std::byte> data, std::uint64_t index) noexcept {
  T value;
  std::memcpy(&value, data.data() + index * sizeof(T), sizeof(T));
  return value;
}

template <typename T>
std::optional<std::uint64_t> unsigned_from(std::span<const std::byte> data, std::uint64_t index) noexcept {
  const T value = read_at<T>(data, index);
  if constexpr (std::is_signed_v<T>) {
    if (value < 0) return std::nullopt;
  }
  return static_cast<std::uint64_t>(value);
}

}  // namespace

std::optional<std::uint64_t> GgufValue::unsigned_at(std::uint64_t index) const noexcept {
  switch (type) {
    case GgufType::u8:
    case GgufType::boolean: return unsigned_from<std::uint8_t>(data, index);
    case GgufType::i8: return unsigned_from<std::int8_t>(data, index);
    case GgufType::u16: return unsigned_from<std::uint16_t>(data, index);
    case GgufType::i16: return unsigned_from<std::int16_t>(data, index);
    case GgufType::u32: return unsigned_from<std::uint32_t>(data, index);
    case GgufType::i32: return unsigned_from<std::int32_t>(data, index);
    case GgufType::u64: return unsigned_from<std::uint64_t>(data, index);
    case GgufType::i64: return unsigned_from<std::int64_t>(data, index);
    default: return std::nullopt;
  }
}

std::optional<std::uint64_t> GgufValue::as_unsigned() const noexcept {
  if (is_array || type == GgufType::boolean) return std::nullopt;
  return unsigned_at(0);
}

std::optional<double> GgufValue::as_float() const noexcept {
  if (is_array) return std::nullopt;
  if (type == GgufType::f32) return read_at<float>(data, 0);
  if (type == GgufType::f64) return read_at<double>(data, 0);
  return std::nullopt;
}

std::optional<bool> GgufValue::as_bool() const noexcept {
  if (is_array || type != GgufType::boolean) return std::nullopt;
  return data[0] != std::byte{0};
}

std::optional<std::string_view> GgufValue::as_string() const noexcept {
  if (is_array || type != GgufType::string) return std::nullopt;
  return std::string_view(reinterpret_cast<const char*>(data.data()) + sizeof(std::uint64_t),
                          data.size() - sizeof(std::uint64_t));
}

std::vector<std::string_view> GgufValue::strings() const {
  std::vector<std::string_view> result;
  if (!is_array || type != GgufType::string) return result;
  result.reserve(count);
  std::size_t offset = 0;
  for (std::uint64_t i = 0; i < count; ++i) {
    const auto length = read_at<std::uint64_t>(data.subspan(offset), 0);
    offset += sizeof(std::uint64_t);
    result.emplace_back(reinterpret_cast<const char*>(data.data()) + offset, length);
    offset += length;
  }
  return result;
}

}  // namespace driftwood
