// Writes GGUF files, sound ones and (for tests of the reader) unsound ones: it checks nothing.
//
// Metadata and the tensor directory are gathered first; tensor data is streamed to
// disk, so files may be larger than memory. One thread at a time.
#pragma once

#include <ggml.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.hpp"

namespace driftwood::testing {

class GgufWriter {
 public:
  /// Fills a tensor's data; called once for each tensor, in order. The bytes begin as zeros.
  using Fill = std::function<void(std::span<std::byte> data)>;

  void add(std::string_view key, std::uint32_t value);
  void add(std::string_view key, std::int32_t value);
  void add(std::string_view key, float value);
  void add(std::string_view key, bool value);
  void add(std::string_view key, std::string_view value);
  void add(std::string_view key, const char* value) { add(key, std::string_view(value)); }
  void add(std::string_view key, std::span<const std::string> values);
  void add(std::string_view key, std::span<const std::int32_t> values);
  void add(std::string_view key, std::span<const float> values);
  void add_flags(std::string_view key, std::span<const std::uint8_t> values);

  void add_tensor(std::string name, ggml_type type, std::vector<std::int64_t> shape, Fill fill);

  /// The file up to the beginning of the tensor data, padded.
  std::vector<std::byte> header() const;
  /// The whole file, for small ones.
  std::vector<std::byte> bytes() const;
  /// not_found, unavailable: the file cannot be written.
  Result<void> write(const std::filesystem::path& path) const;

 private:
  struct Tensor {
    std::string name;
    ggml_type type;
    std::vector<std::int64_t> shape;
    Fill fill;
    std::size_t size() const;
  };
  /// Appends key, type and what follows.
  void begin_value(std::string_view key, std::uint32_t type);
  void begin_array(std::string_view key, std::uint32_t type, std::size_t count);
  /// Calls `sink` with each tensor's padded data.
  void each_data(const std::function<void(std::span<const std::byte>)>& sink) const;

  std::vector<std::byte> values_;
  std::uint64_t value_count_ = 0;
  std::vector<Tensor> tensors_;
};

}  // namespace driftwood::testing
