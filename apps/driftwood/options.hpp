// Values that are spelled with units, and pairs that are spelled with separators. Any thread.
#pragma once

#include <chrono>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>

#include "core/error.hpp"
#include "wasm/instance.hpp"

namespace driftwood::cli {

/// "65536", "512K", "64M", "2G": bytes, in powers of 1,024.
Result<std::size_t> parse_size(std::string_view text);
/// "30", "30s", "500ms", "5m", "1h"; a bare number counts seconds.
Result<std::chrono::milliseconds> parse_duration(std::string_view text);
/// "HOST" or "HOST::GUEST"; without a guest's name it is the host's.
Result<DirectoryGrant> parse_directory(std::string_view text);
/// "NAME=VALUE".
Result<std::pair<std::string, std::string>> parse_environment(std::string_view text);

}  // namespace driftwood::cli
