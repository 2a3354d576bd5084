// Strict reading of JSON: each member is asked for by name and type, and none may be left over.
// Internal to src/snapshot.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "core/error.hpp"

namespace driftwood {

using Json = nlohmann::json;

/// One JSON object, read member by member. `where` names it in messages: "The manifest's wasi".
class JsonFields {
 public:
  /// corrupt: `value` is not an object.
  static Result<JsonFields> of(const Json& value, std::string where);

  /// The member, or null when there is none.
  const Json* find(const char* name);
  /// Each fails with corrupt where the member is missing or has another type or range.
  Result<const Json*> array(const char* name);
  Result<const Json*> member(const char* name);
  Result<std::string> text(const char* name);
  Result<bool> boolean(const char* name);
  Result<std::uint64_t> unsigned_integer(const char* name, std::uint64_t largest);
  Result<std::int64_t> signed_integer(const char* name);
  /// corrupt: there is a member that nobody asked for.
  Result<void> finish() const;

  const std::string& where() const noexcept { return where_; }

 private:
  JsonFields(const Json& value, std::string where) : value_(&value), where_(std::move(where)) {}
  std::unexpected<Error> wrong(const char* name, std::string_view wanted) const;

  const Json* value_;
  std::string where_;
  std::size_t asked_ = 0;  ///< members found so far; each is asked for once
};

/// The text as JSON, if it is its canonical encoding and nests no deeper than `depth`. corrupt otherwise; `what`
/// begins the message: "The manifest".
Result<Json> parse_canonical_json(std::string_view text, std::size_t depth, std::string_view what);

}  // namespace driftwood
