#include "model/safetensors.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "core/bytes.hpp"
#include "model/safetensors_header.hpp"

static_assert(std::endian::native == std::endian::little, "tensors' bytes are used as they lie in the file");

namespace driftwood {
namespace {

constexpr std::size_t kLengthSize = 8;

struct ElementType {
  std::string_view name;
  std::uint64_t bytes;
};
constexpr auto kElementTypes = std::to_array<ElementType>({{"BOOL", 1},
                                                           {"U8", 1},
                                                           {"I8", 1},
                                                           {"F8_E5M2", 1},
                                                           {"F8_E4M3", 1},
                                                           {"I16", 2},
                                                           {"U16", 2},
                                                           {"F16", 2},
                                                           {"BF16", 2},
                                                           {"I32", 4},
                                                           {"U32", 4},
                                                           {"F32", 4},
                                                           {"I64", 8},
                                                           {"U64", 8},
                                                           {"F64", 8}});

/// Bytes that the shape takes; nothing when they cannot be counted.
std::optional<std::uint64_t> shape_bytes(const SafetensorsTensor& tensor, std::uint64_t element) {
  std::optional<std::uint64_t> bytes = element;
  for (const std::uint64_t count : tensor.shape) {
    if (bytes) bytes = checked_mul(*bytes, count);
  }
  return bytes;
}

/// The offsets become those in the file. corrupt: types, shapes and offsets do not agree with each other or the file.
Result<void> place(std::vector<SafetensorsTensor>& tensors, std::uint64_t data_offset, std::uint64_t file_size) {
  std::ranges::sort(tensors, {}, [](const SafetensorsTensor& tensor) { return std::pair(tensor.offset, tensor.size); });
  std::uint64_t end = 0;
  for (SafetensorsTensor& tensor : tensors) {
    const auto* type = std::ranges::find(kElementTypes, tensor.dtype, &ElementType::name);
    if (type == kElementTypes.end()) {
      return fail(ErrorCode::corrupt, fmt::format("The tensor \"{}\" is of the type \"{}\", which is none of the "
                                                  "format's.",
                                                  tensor.name, tensor.dtype));
    }
    const auto wanted = shape_bytes(tensor, type->bytes);
    if (!wanted || *wanted != tensor.size) {
      return fail(ErrorCode::corrupt,
                  fmt::format("The tensor \"{}\" ({} [{}]) takes {} bytes, and its offsets leave it {}.", tensor.name,
                              tensor.dtype, fmt::join(tensor.shape, ", "),
                              wanted ? fmt::to_string(*wanted) : "more than can be counted", tensor.size));
    }
    if (tensor.offset != end) {
      return fail(ErrorCode::corrupt,
                  fmt::format("The tensor \"{}\" begins at {} and the one before it ends at {}: tensors may neither "
                              "overlap nor leave gaps.",
                              tensor.name, tensor.offset, end));
    }
    end += tensor.size;
    if (end > file_size - data_offset) {
      return fail(ErrorCode::corrupt,
                  fmt::format("The tensor \"{}\" ends at byte {} of the data, of which the file has {}.", tensor.name,
                              end, file_size - data_offset));
    }
    tensor.offset += data_offset;
  }
  if (end != file_size - data_offset) {
    return fail(ErrorCode::corrupt, fmt::format("The tensors end at byte {} of the data, of which the file has {}.",
                                                end, file_size - data_offset));
  }
  return {};
}

}  // namespace

Result<Safetensors> Safetensors::read(std::uint64_t size, ReadAt read_at) {
  if (size < kLengthSize) {
    return fail(ErrorCode::corrupt, fmt::format("The file has {} bytes; a safetensors file begins with {} that say "
                                                "how long its header is.",
                                                size, kLengthSize));
  }
  std::uint64_t length = 0;
  DW_TRY(read_at(0, std::as_writable_bytes(std::span(&length, 1))));
  if (length > kMaxSafetensorsHeader || length > size - kLengthSize) {
    return fail(
        ErrorCode::corrupt,
        fmt::format("The header's length ({}) exceeds {}.", length,
                    length > kMaxSafetensorsHeader ? fmt::format("the largest that is read ({})", kMaxSafetensorsHeader)
                                                   : fmt::format("the file, which has {} bytes", size)));
  }
  std::string text(length, '\0');
  DW_TRY(read_at(kLengthSize, std::as_writable_bytes(std::span(text))));
  if (!text.starts_with('{')) {
    return fail(ErrorCode::corrupt, "The header does not begin with \"{\", as that of a safetensors file does.");
  }
  DW_TRY_ASSIGN(SafetensorsHeader header, parse_safetensors_header(text));
  DW_TRY(place(header.tensors, kLengthSize + length, size));
  Safetensors file;
  file.read_at_ = std::move(read_at);
  file.metadata_ = std::move(header.metadata);
  file.tensors_ = std::move(header.tensors);
  return file;
}

Result<Safetensors> Safetensors::open(const std::filesystem::path& path) {
  const auto quoted = [&path] { return "\"" + path.string() + "\""; };
  std::error_code error;
  const auto status = std::filesystem::status(path, error);
  if (status.type() == std::filesystem::file_type::not_found) {
    return fail(ErrorCode::not_found, "There is no file " + quoted() + ".");
  }
  if (!std::filesystem::is_regular_file(status)) {
    return fail(ErrorCode::invalid_argument, quoted() + " is not a regular file.");
  }
  const std::uint64_t size = std::filesystem::file_size(path, error);
  const auto stream = std::make_shared<std::ifstream>(path, std::ios::binary);
  if (error || !*stream) return fail(ErrorCode::unavailable, "The file " + quoted() + " cannot be read.");
  auto file = read(size, [stream, name = quoted()](std::uint64_t offset, std::span<std::byte> out) -> Result<void> {
    stream->seekg(static_cast<std::streamoff>(offset));
    if (stream->read(reinterpret_cast<char*>(out.data()), static_cast<std::streamsize>(out.size()))) return {};
    return fail(ErrorCode::unavailable, "The file " + name + " cannot be read to its end.");
  });
  if (!file && file.error().code == ErrorCode::corrupt) {
    return fail(ErrorCode::corrupt, "The file " + quoted() + " is not a safetensors file: " + file.error().message);
  }
  return file;
}

const SafetensorsTensor* Safetensors::find(std::string_view name) const noexcept {
  const auto found = std::ranges::find(tensors_, name, &SafetensorsTensor::name);
  return found == tensors_.end() ? nullptr : &*found;
}

Result<void> Safetensors::read_bytes(const SafetensorsTensor& tensor, std::uint64_t offset,
                                     std::span<std::byte> out) const {
  DW_CHECK((ByteRange{offset, out.size()}.within(tensor.size)));
  return read_at_(tensor.offset + offset, out);
}

std::string encode_safetensors_header(const std::map<std::string, std::string>& metadata,
                                      std::span<const SafetensorsTensor> tensors) {
  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  std::uint64_t end = 0;
  for (const SafetensorsTensor& tensor : tensors) {
    header[tensor.name] = {
        {"dtype", tensor.dtype}, {"shape", tensor.shape}, {"data_offsets", {end, end + tensor.size}}};
    end += tensor.size;
  }
  std::string text = header.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
  text.resize(align_up(text.size(), kLengthSize), ' ');
  const std::uint64_t length = text.size();
  std::string bytes(kLengthSize, '\0');
  std::memcpy(bytes.data(), &length, sizeof(length));
  return bytes + text;
}

}  // namespace driftwood
