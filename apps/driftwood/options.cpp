#include "options.hpp"

#include <charconv>
#include <cstdint>

#include "core/bytes.hpp"

namespace driftwood::cli {
namespace {

struct Unit {
  std::string_view name;
  std::size_t factor;
};

/// A whole number followed by the name of one of `units`.
template <std::size_t N>
Result<std::size_t> parse_number(std::string_view text, const Unit (&units)[N], std::string_view allowed) {
  std::size_t number = 0;
  const auto [end, status] = std::from_chars(text.data(), text.data() + text.size(), number);
  const std::string_view unit = text.substr(static_cast<std::size_t>(end - text.data()));
  if (status == std::errc{}) {
    for (const Unit& candidate : units) {
      if (candidate.name != unit) continue;
      if (const auto product = checked_mul(number, candidate.factor)) return *product;
    }
  }
  return fail(ErrorCode::invalid_argument,
              "The value \"" + std::string(text) + "\" is not " + std::string(allowed) + ".");
}

}  // namespace

Result<std::size_t> parse_size(std::string_view text) {
  static constexpr Unit kUnits[] = {{"", 1},       {"K", kKiB},   {"M", kMiB},  {"G", kGiB},
                                    {"KiB", kKiB}, {"MiB", kMiB}, {"GiB", kGiB}};
  return parse_number(text, kUnits, "a number of bytes such as 65536, 512K, 64M or 2G");
}

Result<std::chrono::milliseconds> parse_duration(std::string_view text) {
  static constexpr Unit kUnits[] = {{"", 1000}, {"ms", 1}, {"s", 1000}, {"m", 60'000}, {"h", 3'600'000}};
  static constexpr std::size_t kLongest = std::size_t{10} * 365 * 24 * 3'600'000;
  DW_TRY_ASSIGN(const std::size_t count, parse_number(text, kUnits, "a time such as 30s, 500ms, 5m or 1h"));
  if (count > kLongest) {
    return fail(ErrorCode::invalid_argument, "The time \"" + std::string(text) + "\" is longer than ten years.");
  }
  return std::chrono::milliseconds(static_cast<std::int64_t>(count));
}

Result<DirectoryGrant> parse_directory(std::string_view text) {
  const std::size_t separator = text.find("::");
  const std::string host(text.substr(0, separator));
  const std::string guest(separator == std::string_view::npos ? text : text.substr(separator + 2));
  if (host.empty() || guest.empty()) {
    return fail(ErrorCode::invalid_argument, "The folder \"" + std::string(text) + "\" is not HOST or HOST::GUEST.");
  }
  return DirectoryGrant{host, guest, false};
}

Result<std::pair<std::string, std::string>> parse_environment(std::string_view text) {
  const std::size_t separator = text.find('=');
  if (separator == std::string_view::npos || separator == 0) {
    return fail(ErrorCode::invalid_argument,
                "The environment variable \"" + std::string(text) + "\" is not NAME=VALUE.");
  }
  return std::pair(std::string(text.substr(0, separator)), std::string(text.substr(separator + 1)));
}

}  // namespace driftwood::cli
