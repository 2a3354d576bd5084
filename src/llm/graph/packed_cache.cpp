#include "llm/graph/packed_cache.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <bit>
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>
#include <system_error>

namespace driftwood {

namespace {

constexpr std::array<char, 8> kMagic = {'D', 'W', 'P', 'A', 'C', 'K', '0', '1'};
constexpr std::size_t kHeaderBytes = 64 * 1024;  // a page of every machine, so that what follows is aligned

struct Header {
  std::array<char, 8> magic;
  std::uint64_t size;  ///< of the bytes behind the header
  std::uint64_t checksum;
  Hash key;
};

/// Eight independent lanes keep up with the memory. Finds damage; no defence against an attacker.
std::uint64_t checksum(std::span<const std::byte> bytes) noexcept {
  constexpr std::uint64_t kOdd = 0x9E3779B97F4A7C15U;
  std::array<std::uint64_t, 8> lanes = {1, 2, 3, 4, 5, 6, 7, 8};
  const auto mix = [](std::uint64_t lane, std::uint64_t word) { return std::rotl((lane ^ word) * kOdd, 29); };
  for (; bytes.size() >= sizeof lanes; bytes = bytes.subspan(sizeof lanes)) {
    std::array<std::uint64_t, 8> words;
    std::memcpy(words.data(), bytes.data(), sizeof words);
    for (std::size_t i = 0; i < lanes.size(); ++i) lanes[i] = mix(lanes[i], words[i]);
  }
  for (const std::byte rest : bytes) lanes[0] = mix(lanes[0], static_cast<std::uint64_t>(rest));
  std::uint64_t sum = 0;
  for (const std::uint64_t lane : lanes) sum = mix(sum, lane);
  return sum;
}

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const noexcept { return fd_; }

 private:
  int fd_;
};

/// Only this user can have written it.
bool is_ours(const struct stat& status) { return status.st_uid == ::geteuid() && (status.st_mode & 0022) == 0; }

bool write_all(int fd, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(fd, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return false;
    bytes = bytes.subspan(static_cast<std::size_t>(written));
  }
  return true;
}

std::string reason(int error) { return std::system_category().message(error); }

}  // namespace

MappedPack::~MappedPack() { ::munmap(const_cast<std::byte*>(mapped_), size_); }

Result<PackedCache> PackedCache::open(const std::filesystem::path& folder) {
  std::error_code error;
  std::filesystem::create_directories(folder.parent_path(), error);
  if (::mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST) {
    return fail(ErrorCode::unavailable,
                fmt::format("The folder for packed weights {} cannot be made: {}.", folder.string(), reason(errno)));
  }
  struct stat status{};
  if (::stat(folder.c_str(), &status) != 0 || !S_ISDIR(status.st_mode)) {
    return fail(ErrorCode::unavailable, fmt::format("{}, for packed weights, is not a folder.", folder.string()));
  }
  if (!is_ours(status)) {
    return fail(ErrorCode::unavailable,
                fmt::format("The folder for packed weights {} has owner {} and mode {:o}, but only its user ({}) may "
                            "write to it.",
                            folder.string(), status.st_uid, status.st_mode & 07777, ::geteuid()));
  }
  return PackedCache(folder);
}

std::filesystem::path PackedCache::file_of(const Hash& key) const { return folder_ / (key.to_hex() + ".packed"); }

std::unique_ptr<MappedPack> PackedCache::load(const Hash& key, std::size_t size) const {
  const Descriptor descriptor(::open(file_of(key).c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  struct stat status{};
  if (descriptor.get() < 0 || ::fstat(descriptor.get(), &status) != 0) return nullptr;
  if (!S_ISREG(status.st_mode) || !is_ours(status)) return nullptr;
  if (static_cast<std::uint64_t>(status.st_size) != kHeaderBytes + std::uint64_t{size}) return nullptr;
  const std::size_t all = kHeaderBytes + size;
  void* mapped = ::mmap(nullptr, all, PROT_READ, MAP_SHARED, descriptor.get(), 0);
  if (mapped == MAP_FAILED) return nullptr;
#if defined(MADV_POPULATE_READ)
  ::madvise(mapped, all, MADV_POPULATE_READ);  // all is read now, and with every token
#endif
  auto pack = std::make_unique<MappedPack>(static_cast<const std::byte*>(mapped), all, kHeaderBytes);
  Header header;
  std::memcpy(&header, mapped, sizeof header);
  const bool is_whole =
      header.magic == kMagic && header.key == key && header.size == size && header.checksum == checksum(pack->bytes());
  return is_whole ? std::move(pack) : nullptr;
}

Result<void> PackedCache::store(const Hash& key, std::span<const std::byte> bytes) const {
  const Header header{kMagic, bytes.size(), checksum(bytes), key};
  std::array<std::byte, kHeaderBytes> first{};
  std::memcpy(first.data(), &header, sizeof header);
  std::string temporary = (folder_ / "new-XXXXXX").string();
  const Descriptor descriptor(::mkstemp(temporary.data()));
  const auto file = file_of(key);
  if (descriptor.get() < 0 || !write_all(descriptor.get(), first) || !write_all(descriptor.get(), bytes) ||
      ::rename(temporary.c_str(), file.c_str()) != 0) {
    const int error = errno;
    if (descriptor.get() >= 0) ::unlink(temporary.c_str());
    return fail(ErrorCode::unavailable,
                fmt::format("The packed weights {} cannot be written: {}.", file.string(), reason(error)));
  }
  return {};
}

std::filesystem::path default_packed_cache() {
  const auto variable = [](const char* name) -> std::filesystem::path {
    const char* value = std::getenv(name);
    return value != nullptr ? value : "";
  };
  if (const auto own = variable("DRIFTWOOD_CACHE"); own.is_absolute()) return own / "packed";
  if (const auto cache = variable("XDG_CACHE_HOME"); cache.is_absolute()) return cache / "driftwood" / "packed";
  if (const auto home = variable("HOME"); home.is_absolute()) return home / ".cache" / "driftwood" / "packed";
  return {};
}

}  // namespace driftwood
