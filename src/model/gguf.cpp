#include "model/gguf.hpp"

#include <fmt/format.h>

#include <bit>
#include <cstring>
#include <string>

#include "core/bytes.hpp"

namespace driftwood {
namespace {

static_assert(std::endian::native == std::endian::little, "GGUF files are little-endian, and are used as mapped");

constexpr std::uint64_t kMaxValues = 65536;
constexpr std::uint64_t kMaxTensors = 65536;
constexpr std::uint64_t kDefaultAlignment = 32;
constexpr std::uint64_t kMaxAlignment = 65536;

std::unexpected<Error> corrupt(std::string message) { return fail(ErrorCode::corrupt, std::move(message)); }

/// Bytes of one element; 0 for strings, arrays and types that do not exist.
std::size_t element_size(GgufType type) noexcept {
  switch (type) {
    case GgufType::u8:
    case GgufType::i8:
    case GgufType::boolean: return 1;
    case GgufType::u16:
    case GgufType::i16: return 2;
    case GgufType::u32:
    case GgufType::i32:
    case GgufType::f32: return 4;
    case GgufType::u64:
    case GgufType::i64:
    case GgufType::f64: return 8;
    default: return 0;
  }
}

/// Text from the file that goes into an error: short, and without control characters.
std::string printable(std::string_view text) {
  std::string result;
  for (const char c : text.substr(0, 64)) result += (c >= ' ' && c <= '~') ? c : '?';
  return result;
}

/// Walks the bytes; every read says what it was after when the file is too short.
class Reader {
 public:
  explicit Reader(std::span<const std::byte> bytes) : bytes_(bytes) {}

  std::size_t position() const noexcept { return position_; }
  std::span<const std::byte> since(std::size_t begin) const noexcept {
    return bytes_.subspan(begin, position_ - begin);
  }

  template <typename T>
  Result<T> number(std::string_view what) {
    DW_TRY_ASSIGN(const auto raw, take(sizeof(T), what));
    T value;
    std::memcpy(&value, raw.data(), sizeof(T));
    return value;
  }

  Result<std::string_view> string(std::string_view what) {
    DW_TRY_ASSIGN(const auto length, number<std::uint64_t>(what));
    DW_TRY_ASSIGN(const auto raw, take(length, what));
    return std::string_view(reinterpret_cast<const char*>(raw.data()), raw.size());
  }

  Result<std::span<const std::byte>> take(std::uint64_t size, std::string_view what) {
    if (size > bytes_.size() - position_) {
      return corrupt(fmt::format("The file ends at byte {}, inside {}, which needs {} bytes at {}.", bytes_.size(),
                                 what, size, position_));
    }
    const auto taken = bytes_.subspan(position_, size);
    position_ += size;
    return taken;
  }

 private:
  std::span<const std::byte> bytes_;
  std::size_t position_ = 0;
};

Result<GgufValue> read_value(Reader& reader, std::uint64_t index) {
  GgufValue value;
  const std::size_t begin = reader.position();
  DW_TRY_ASSIGN(value.key, reader.string(fmt::format("the key of metadata entry {}", index)));
  const std::string what = fmt::format("metadata entry {} ({})", index, printable(value.key));
  if (value.key.empty() || value.key.find('\0') != std::string_view::npos) {
    return corrupt(fmt::format("The key of metadata entry {} at byte {} is empty or holds a zero byte.", index, begin));
  }
  DW_TRY_ASSIGN(auto type, reader.number<std::uint32_t>(what));
  if (static_cast<GgufType>(type) == GgufType::array) {
    value.is_array = true;
    DW_TRY_ASSIGN(type, reader.number<std::uint32_t>(what));
    DW_TRY_ASSIGN(value.count, reader.number<std::uint64_t>(what));
  }
  value.type = static_cast<GgufType>(type);
  const std::size_t data_begin = reader.position();
  if (value.type == GgufType::string) {
    for (std::uint64_t i = 0; i < value.count; ++i) DW_TRY(reader.string(what));
  } else {
    const std::size_t size = element_size(value.type);
    if (size == 0) {
      return corrupt(fmt::format("The type ({}) of {} does not exist or cannot be in an array.", type, what));
    }
    const auto total = checked_mul(value.count, size);
    if (!total) return corrupt(fmt::format("The number of elements ({}) of {} is absurd.", value.count, what));
    DW_TRY(reader.take(*total, what));
  }
  value.data = reader.since(data_begin);
  value.record = reader.since(begin);
  return value;
}

/// Bytes of the tensor, or nothing when its shape does not fit the type or the address space.
std::optional<std::size_t> tensor_size(const GgufTensor& tensor) {
  const auto block = static_cast<std::size_t>(ggml_blck_size(tensor.type));
  if (static_cast<std::size_t>(tensor.shape[0]) % block != 0) return std::nullopt;
  // ggml counts elements in int64_t.
  std::int64_t elements = 1;
  for (const std::int64_t extent : tensor.shape) {
    if (__builtin_mul_overflow(elements, extent, &elements)) return std::nullopt;
  }
  return checked_mul(static_cast<std::size_t>(elements) / block, ggml_type_size(tensor.type));
}

/// A tensor whose offset is still relative to the data section.
Result<GgufTensor> read_tensor(Reader& reader, std::uint64_t index) {
  GgufTensor tensor;
  DW_TRY_ASSIGN(tensor.name, reader.string(fmt::format("the name of tensor {}", index)));
  const std::string what = fmt::format("tensor {} ({})", index, printable(tensor.name));
  if (tensor.name.empty() || tensor.name.size() >= GGML_MAX_NAME || tensor.name.find('\0') != std::string_view::npos) {
    return corrupt(fmt::format("The name of {} has {} bytes (1 to {} are allowed) or holds a zero byte.", what,
                               tensor.name.size(), GGML_MAX_NAME - 1));
  }
  DW_TRY_ASSIGN(const auto dimensions, reader.number<std::uint32_t>(what));
  if (dimensions == 0 || dimensions > GGML_MAX_DIMS) {
    return corrupt(fmt::format("The number of dimensions ({}) of {} is not 1 to {}.", dimensions, what, GGML_MAX_DIMS));
  }
  for (std::uint32_t i = 0; i < dimensions; ++i) {
    DW_TRY_ASSIGN(tensor.shape[i], reader.number<std::int64_t>(what));
    if (tensor.shape[i] < 1) {
      return corrupt(fmt::format("Dimension {} ({}) of {} is less than 1.", i, tensor.shape[i], what));
    }
  }
  DW_TRY_ASSIGN(const auto type, reader.number<std::uint32_t>(what));
  if (type >= GGML_TYPE_COUNT || ggml_blck_size(static_cast<ggml_type>(type)) <= 0) {
    return fail(ErrorCode::unsupported, fmt::format("The type ({}) of {} is not one that ggml knows.", type, what));
  }
  tensor.type = static_cast<ggml_type>(type);
  const auto size = tensor_size(tensor);
  if (!size) {
    return corrupt(
        fmt::format("The shape ({} x {} x {} x {}) of {} is too large or no multiple of the block ({}) of {}.",
                    tensor.shape[0], tensor.shape[1], tensor.shape[2], tensor.shape[3], what,
                    ggml_blck_size(tensor.type), ggml_type_name(tensor.type)));
  }
  tensor.size = *size;
  DW_TRY_ASSIGN(tensor.offset, reader.number<std::uint64_t>(what));
  return tensor;
}

/// Makes offsets absolute. Each tensor must begin where the one before it ended, rounded up, as ggml insists.
Result<void> place_tensors(std::span<GgufTensor> tensors, std::size_t data_begin, std::uint64_t alignment,
                           std::size_t file_size) {
  std::size_t expected = 0;
  for (GgufTensor& tensor : tensors) {
    if (tensor.offset != expected) {
      return corrupt(
          fmt::format("The data of tensor {} is at offset {} instead of {}: it overlaps another tensor, "
                      "leaves a gap or is not aligned to {} bytes.",
                      printable(tensor.name), tensor.offset, expected, alignment));
    }
    const ByteRange range{data_begin + expected, tensor.size};
    if (data_begin > file_size || expected > file_size || !range.within(file_size)) {
      return corrupt(fmt::format("The data of tensor {} ({} bytes at {}) lies beyond the end of the file ({} bytes).",
                                 printable(tensor.name), tensor.size, range.offset, file_size));
    }
    tensor.offset = range.offset;
    expected = align_up(expected + tensor.size, alignment);
  }
  return {};
}

Result<std::uint64_t> alignment_of(const Gguf& gguf) {
  const GgufValue* value = gguf.find("general.alignment");
  if (value == nullptr) return kDefaultAlignment;
  const auto alignment = value->type == GgufType::u32 ? value->as_unsigned() : std::nullopt;
  if (!alignment || !std::has_single_bit(*alignment) || *alignment < kDefaultAlignment || *alignment > kMaxAlignment) {
    return corrupt(
        fmt::format("general.alignment is not a power of two from {} to {}.", kDefaultAlignment, kMaxAlignment));
  }
  return *alignment;
}

}  // namespace

Result<Gguf> Gguf::parse(std::span<const std::byte> bytes) {
  Reader reader(bytes);
  Gguf gguf;

  DW_TRY_ASSIGN(const auto magic, reader.take(4, "the magic number"));
  if (std::memcmp(magic.data(), "GGUF", 4) != 0) {
    return corrupt(fmt::format("The file does not begin with \"GGUF\" but with \"{}\".",
                               printable({reinterpret_cast<const char*>(magic.data()), 4})));
  }
  DW_TRY_ASSIGN(gguf.version_, reader.number<std::uint32_t>("the version"));
  if (gguf.version_ != 2 && gguf.version_ != 3) {
    const bool swapped = (gguf.version_ & 0xFFFF) == 0 && gguf.version_ != 0;
    return fail(ErrorCode::unsupported, fmt::format("The GGUF version ({}) is not 2 or 3{}.", gguf.version_,
                                                    swapped ? ": the file is big-endian" : ""));
  }
  DW_TRY_ASSIGN(const auto tensor_count, reader.number<std::uint64_t>("the number of tensors"));
  DW_TRY_ASSIGN(const auto value_count, reader.number<std::uint64_t>("the number of metadata entries"));
  if (tensor_count > kMaxTensors || value_count > kMaxValues) {
    return corrupt(fmt::format("The file claims {} tensors (at most {} are read) and {} metadata entries (at most {}).",
                               tensor_count, kMaxTensors, value_count, kMaxValues));
  }

  for (std::uint64_t i = 0; i < value_count; ++i) {
    DW_TRY_ASSIGN(auto value, read_value(reader, i));
    if (!gguf.value_index_.emplace(value.key, i).second) {
      return corrupt(fmt::format("The metadata key {} appears twice.", printable(value.key)));
    }
    gguf.values_.push_back(value);
  }
  if (const GgufValue* split = gguf.find("split.count"); split != nullptr && split->as_unsigned().value_or(2) > 1) {
    return fail(ErrorCode::unsupported, "The file is one part of a model that was split: join the parts first.");
  }
  DW_TRY_ASSIGN(const auto alignment, alignment_of(gguf));

  for (std::uint64_t i = 0; i < tensor_count; ++i) {
    DW_TRY_ASSIGN(auto tensor, read_tensor(reader, i));
    if (!gguf.tensor_index_.emplace(tensor.name, i).second) {
      return corrupt(fmt::format("The tensor name {} appears twice.", printable(tensor.name)));
    }
    gguf.tensors_.push_back(tensor);
  }
  DW_TRY(place_tensors(gguf.tensors_, align_up(reader.position(), alignment), alignment, bytes.size()));
  return gguf;
}

const GgufValue* Gguf::find(std::string_view key) const noexcept {
  const auto found = value_index_.find(key);
  return found == value_index_.end() ? nullptr : &values_[found->second];
}

const GgufTensor* Gguf::find_tensor(std::string_view name) const noexcept {
  const auto found = tensor_index_.find(name);
  return found == tensor_index_.end() ? nullptr : &tensors_[found->second];
}

}  // namespace driftwood
