// Typed reading of one architecture's metadata ("llama.block_count"), each value
// checked for its type and range. Borrows the Gguf. One thread at a time.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "core/error.hpp"
#include "model/gguf.hpp"

namespace driftwood {

class Metadata {
 public:
  Metadata(const Gguf& gguf, std::string_view architecture) : gguf_(&gguf), architecture_(architecture) {}

  /// The value of "<architecture>.<key>", or null.
  const GgufValue* find(std::string_view key) const;
  std::string full_key(std::string_view key) const;

  /// Each of these is corrupt when the key is there with another type or out of range.
  /// An integer from 0 to `most`.
  Result<std::optional<std::uint32_t>> integer(std::string_view key, std::uint32_t most) const;
  /// An integer from 1 to `most`; corrupt when it is missing, too.
  Result<std::uint32_t> required_count(std::string_view key, std::uint32_t most) const;
  /// The same, or an array with one value for each layer; unsupported when the layers differ.
  Result<std::optional<std::uint32_t>> uniform_count(std::string_view key, std::uint32_t n_layer,
                                                     std::uint32_t most) const;
  /// A finite number.
  Result<std::optional<float>> number(std::string_view key) const;
  Result<std::optional<bool>> flag(std::string_view key) const;
  Result<std::optional<std::string_view>> text(std::string_view key) const;

  /// `target` takes the number where the file has it.
  Result<void> number_into(std::string_view key, float& target) const;

 private:
  const Gguf* gguf_;
  std::string architecture_;
};

}  // namespace driftwood
