// Names of what a test is run for, as GoogleTest takes them.
#pragma once

#include <algorithm>
#include <cctype>
#include <string>

namespace driftwood::testing {

/// "vulkan:0" as "vulkan_0".
inline std::string test_name(std::string text) {
  std::ranges::replace_if(text, [](unsigned char c) { return std::isalnum(c) == 0; }, '_');
  return text;
}

}  // namespace driftwood::testing
