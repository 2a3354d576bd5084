#include "snapshot/boot_id.hpp"

#include <span>
#include <string_view>

#include "core/hash.hpp"
#include "snapshot/file.hpp"

#ifdef __APPLE__
#include <sys/sysctl.h>
#endif

namespace driftwood {
namespace {

constexpr std::size_t kLength = 36;  // of a UUID as text

std::string system_boot_id() {
  std::string id(kLength, '\0');
#ifdef __APPLE__
  id.resize(kLength + 1);
  std::size_t size = id.size();
  if (sysctlbyname("kern.bootsessionuuid", id.data(), &size, nullptr, 0) != 0) return "";
  id.resize(kLength);
#else
  const auto file = File::open("/proc/sys/kernel/random/boot_id");
  if (!file || !file->read_at(0, std::as_writable_bytes(std::span(id)))) return "";
#endif
  return id;
}

}  // namespace

std::string boot_id() {
  const std::string id = system_boot_id();
  if (id.empty()) return "";
  return hash_bytes(std::as_bytes(std::span(id))).to_hex().substr(0, 16);
}

}  // namespace driftwood
