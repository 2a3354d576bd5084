// Safetensors files: tensors by name, with a header that is checked before any byte is used.
//
//   header's size (8 bytes, little-endian) | header: JSON, padded with spaces | the tensors' bytes, without gaps
//
// The header maps each name to {"dtype", "shape", "data_offsets": [begin, end]}, and "__metadata__" to texts by name.
// Format: github.com/huggingface/safetensors, README. Files may be hostile: what a Safetensors hands out has a known
// element type, bytes that fit its shape, lie inside the file and belong to no other tensor. Values; any thread may
// read what another made, but a file's bytes are read by one thread at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.hpp"

namespace driftwood {

struct SafetensorsTensor {
  std::string name;
  std::string dtype;                 ///< as the format spells it: "F16", "I8", "I32", ...
  std::vector<std::uint64_t> shape;  ///< the slowest dimension first
  std::uint64_t offset = 0;          ///< of its first byte in the file
  std::uint64_t size = 0;            ///< bytes
};

/// Largest header that is read. The format allows 100 MB, which no list of tensors comes near.
inline constexpr std::uint64_t kMaxSafetensorsHeader = std::uint64_t{8} << 20;

class Safetensors {
 public:
  /// Fills `out` with the file's bytes from `offset` on; both lie within the size given to read().
  using ReadAt = std::function<Result<void>(std::uint64_t offset, std::span<std::byte> out)>;

  /// not_found: there is no such file; invalid_argument: it is no regular file; corrupt: no safetensors file, with
  /// what is wrong with it.
  static Result<Safetensors> open(const std::filesystem::path& path);
  /// The same from `size` bytes that `read_at` gives.
  static Result<Safetensors> read(std::uint64_t size, ReadAt read_at);

  const std::map<std::string, std::string>& metadata() const noexcept { return metadata_; }
  /// In the order of their bytes.
  const std::vector<SafetensorsTensor>& tensors() const noexcept { return tensors_; }
  /// Null where there is none of that name.
  const SafetensorsTensor* find(std::string_view name) const noexcept;
  /// Fills `out` with bytes of one of tensors(), beginning `offset` bytes into it; they must lie in it.
  Result<void> read_bytes(const SafetensorsTensor& tensor, std::uint64_t offset, std::span<std::byte> out) const;

 private:
  Safetensors() = default;

  ReadAt read_at_;
  std::map<std::string, std::string> metadata_;
  std::vector<SafetensorsTensor> tensors_;
};

/// What a file begins with; the bytes of `tensors`, whose offsets are not looked at, follow in this order. Names are
/// different, element types known, sizes those of the shapes; text that is not UTF-8 is replaced.
std::string encode_safetensors_header(const std::map<std::string, std::string>& metadata,
                                      std::span<const SafetensorsTensor> tensors);

}  // namespace driftwood
