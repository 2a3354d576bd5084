#include "model/metadata.hpp"

#include <fmt/format.h>

#include <cmath>

namespace driftwood {

std::string Metadata::full_key(std::string_view key) const { return fmt::format("{}.{}", architecture_, key); }

const GgufValue* Metadata::find(std::string_view key) const { return gguf_->find(full_key(key)); }

Result<std::optional<std::uint32_t>> Metadata::integer(std::string_view key, std::uint32_t most) const {
  const GgufValue* value = find(key);
  if (value == nullptr) return std::nullopt;
  const auto number = value->as_unsigned();
  if (!number) {
    return fail(ErrorCode::corrupt, fmt::format("{} is not an integer of at least 0.", full_key(key)));
  }
  if (*number > most) {
    return fail(ErrorCode::corrupt, fmt::format("{} ({}) is larger than {}.", full_key(key), *number, most));
  }
  return static_cast<std::uint32_t>(*number);
}

Result<std::uint32_t> Metadata::required_count(std::string_view key, std::uint32_t most) const {
  DW_TRY_ASSIGN(const auto value, integer(key, most));
  if (!value) return fail(ErrorCode::corrupt, fmt::format("The metadata key {} is missing.", full_key(key)));
  if (*value == 0) return fail(ErrorCode::corrupt, fmt::format("{} is 0.", full_key(key)));
  return *value;
}

Result<std::optional<std::uint32_t>> Metadata::uniform_count(std::string_view key, std::uint32_t n_layer,
                                                             std::uint32_t most) const {
  const GgufValue* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (!value->is_array) {
    DW_TRY_ASSIGN(const auto count, required_count(key, most));
    return count;
  }
  if (value->count < n_layer) {
    return fail(ErrorCode::corrupt,
                fmt::format("{} has {} values for {} layers.", full_key(key), value->count, n_layer));
  }
  const auto first = value->unsigned_at(0);
  for (std::uint32_t layer = 1; layer < n_layer; ++layer) {
    if (value->unsigned_at(layer) != first) {
      return fail(
          ErrorCode::unsupported,
          fmt::format("{} differs from layer to layer; only models whose layers are alike can be run.", full_key(key)));
    }
  }
  if (!first || *first == 0 || *first > most) {
    return fail(ErrorCode::corrupt, fmt::format("{} does not hold integers from 1 to {}.", full_key(key), most));
  }
  return static_cast<std::uint32_t>(*first);
}

Result<std::optional<float>> Metadata::number(std::string_view key) const {
  const GgufValue* value = find(key);
  if (value == nullptr) return std::nullopt;
  const auto number = value->as_float();
  if (!number || !std::isfinite(static_cast<float>(*number))) {
    return fail(ErrorCode::corrupt, fmt::format("{} is not a finite number.", full_key(key)));
  }
  return static_cast<float>(*number);
}

Result<void> Metadata::number_into(std::string_view key, float& target) const {
  DW_TRY_ASSIGN(const auto value, number(key));
  if (value) target = *value;
  return {};
}

Result<std::optional<bool>> Metadata::flag(std::string_view key) const {
  const GgufValue* value = find(key);
  if (value == nullptr) return std::nullopt;
  const auto flag = value->as_bool();
  if (!flag) return fail(ErrorCode::corrupt, fmt::format("{} is not a boolean.", full_key(key)));
  return *flag;
}

Result<std::optional<std::string_view>> Metadata::text(std::string_view key) const {
  const GgufValue* value = find(key);
  if (value == nullptr) return std::nullopt;
  const auto text = value->as_string();
  if (!text) return fail(ErrorCode::corrupt, fmt::format("{} is not a string.", full_key(key)));
  return *text;
}

}  // namespace driftwood
