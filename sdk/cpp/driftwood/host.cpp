#include "driftwood/host.hpp"

#include <cstdio>

namespace driftwood::guest {

Error host_error(std::int32_t code) {
  char sentence[512];
  const std::int32_t length = dw_last_error(sentence, sizeof sentence);
  if (length <= 0) return {code, "The host gave no reason."};
  const auto size = static_cast<std::uint32_t>(length);
  if (size <= sizeof sentence) return {code, std::string(sentence, size)};
  std::string longer(size, '\0');
  dw_last_error(longer.data(), size);
  return {code, std::move(longer)};
}

Result<std::int32_t> check(std::int32_t result) {
  if (result < 0) return std::unexpected(host_error(result));
  return result;
}

Result<dw_info> host_info() {
  dw_info info{};
  info.size = sizeof info;
  DW_TRY(check(dw_get_info(&info)));
  info.device[sizeof info.device - 1] = '\0';
  return info;
}

std::string_view sharing_name(std::uint32_t sharing) noexcept {
  switch (sharing) {
    case DW_SHARING_SAME_MEMORY: return "same_memory";
    case DW_SHARING_MAPPED_OVER_BUS: return "mapped_over_bus";
    case DW_SHARING_COPIED: return "copied";
    default: return "unknown";
  }
}

void log(std::uint32_t level, std::string_view text) {
  dw_log(level, text.data(), static_cast<std::uint32_t>(text.size()));
}

int report(const Error& error) {
  std::fputs(error.message.c_str(), stderr);
  std::fputc('\n', stderr);
  return 1;
}

}  // namespace driftwood::guest
