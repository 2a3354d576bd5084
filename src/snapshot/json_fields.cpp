#include "snapshot/json_fields.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace driftwood {
namespace {

/// How deep brackets nest, so that no recursion over the value can exhaust the stack.
std::size_t nesting(std::string_view text) {
  std::size_t depth = 0, deepest = 0;
  bool in_string = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') ++i;
      if (c == '"') in_string = false;
    } else if (c == '"') {
      in_string = true;
    } else if (c == '{' || c == '[') {
      deepest = std::max(deepest, ++depth);
    } else if ((c == '}' || c == ']') && depth > 0) {
      --depth;
    }
  }
  return deepest;
}

}  // namespace

Result<JsonFields> JsonFields::of(const Json& value, std::string where) {
  if (!value.is_object()) {
    return fail(ErrorCode::corrupt, fmt::format("{} is {} instead of an object.", where, value.type_name()));
  }
  return JsonFields(value, std::move(where));
}

std::unexpected<Error> JsonFields::wrong(const char* name, std::string_view wanted) const {
  return fail(ErrorCode::corrupt, fmt::format("{} has a member \"{}\" that is not {}.", where_, name, wanted));
}

const Json* JsonFields::find(const char* name) {
  const auto found = value_->find(name);
  if (found == value_->end()) return nullptr;
  ++asked_;
  return &*found;
}

Result<const Json*> JsonFields::member(const char* name) {
  if (const Json* found = find(name)) return found;
  return fail(ErrorCode::corrupt, fmt::format("{} has no member \"{}\".", where_, name));
}

Result<const Json*> JsonFields::array(const char* name) {
  DW_TRY_ASSIGN(const Json* found, member(name));
  if (!found->is_array()) return wrong(name, "an array");
  return found;
}

Result<std::string> JsonFields::text(const char* name) {
  DW_TRY_ASSIGN(const Json* found, member(name));
  if (!found->is_string()) return wrong(name, "a string");
  return found->get_ref<const std::string&>();
}

Result<bool> JsonFields::boolean(const char* name) {
  DW_TRY_ASSIGN(const Json* found, member(name));
  if (!found->is_boolean()) return wrong(name, "true or false");
  return found->get<bool>();
}

Result<std::uint64_t> JsonFields::unsigned_integer(const char* name, std::uint64_t largest) {
  DW_TRY_ASSIGN(const Json* found, member(name));
  if (!found->is_number_unsigned() || found->get<std::uint64_t>() > largest) {
    return wrong(name, fmt::format("a whole number from 0 to {}", largest));
  }
  return found->get<std::uint64_t>();
}

Result<std::int64_t> JsonFields::signed_integer(const char* name) {
  DW_TRY_ASSIGN(const Json* found, member(name));
  const bool fits = found->is_number_unsigned() ? found->get<std::uint64_t>() <= INT64_MAX : found->is_number_integer();
  if (!fits) return wrong(name, "a whole number of 64 bits");
  return found->get<std::int64_t>();
}

Result<void> JsonFields::finish() const {
  if (asked_ == value_->size()) return {};
  return fail(ErrorCode::corrupt, fmt::format("{} has {} members that version 1 does not know, of {}.", where_,
                                              value_->size() - asked_, value_->size()));
}

Result<Json> parse_canonical_json(std::string_view text, std::size_t depth, std::string_view what) {
  if (const std::size_t nested = nesting(text); nested > depth) {
    return fail(ErrorCode::corrupt, fmt::format("{} nests {} deep, and at most {} are allowed.", what, nested, depth));
  }
  Json value = Json::parse(text, nullptr, false);
  if (value.is_discarded()) return fail(ErrorCode::corrupt, fmt::format("{} is not JSON.", what));
  // One comparison refuses duplicates, spaces, other orders and other spellings.
  if (value.dump() != text) {
    return fail(ErrorCode::corrupt,
                fmt::format("{} is JSON, but not in its canonical form (sorted, no duplicates, no spaces).", what));
  }
  return value;
}

}  // namespace driftwood
