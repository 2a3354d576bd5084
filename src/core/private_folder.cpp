#include "core/private_folder.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <string>
#include <system_error>

namespace driftwood {
namespace {

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

Descriptor::~Descriptor() {
  if (fd_ >= 0) ::close(fd_);
}

Result<PrivateFolder> PrivateFolder::open(const std::filesystem::path& folder, std::string_view what) {
  std::error_code error;
  std::filesystem::create_directories(folder.parent_path(), error);
  if (::mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST) {
    return fail(ErrorCode::unavailable, fmt::format("{} {} cannot be made: {}.", what, folder.string(), reason(errno)));
  }
  struct stat status{};
  if (::stat(folder.c_str(), &status) != 0 || !S_ISDIR(status.st_mode)) {
    return fail(ErrorCode::unavailable, fmt::format("{} {} is not a folder.", what, folder.string()));
  }
  if (!is_ours(status)) {
    return fail(ErrorCode::unavailable,
                fmt::format("{} {} has owner {} and mode {:o}, but only its user ({}) may write to it.", what,
                            folder.string(), status.st_uid, status.st_mode & 07777, ::geteuid()));
  }
  return PrivateFolder(folder);
}

PrivateFolder::File PrivateFolder::find(const std::filesystem::path& file) const {
  Descriptor descriptor(::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  struct stat status{};
  if (descriptor.get() < 0 || ::fstat(descriptor.get(), &status) != 0) return {Descriptor(-1), 0};
  if (!S_ISREG(status.st_mode) || !is_ours(status)) return {Descriptor(-1), 0};
  return {std::move(descriptor), static_cast<std::uint64_t>(status.st_size)};
}

Result<void> PrivateFolder::store(const std::filesystem::path& file,
                                  std::initializer_list<std::span<const std::byte>> parts,
                                  std::string_view what) const {
  std::string temporary = (folder_ / "new-XXXXXX").string();
  const Descriptor descriptor(::mkstemp(temporary.data()));
  const auto write = [&](std::span<const std::byte> part) { return write_all(descriptor.get(), part); };
  if (descriptor.get() < 0 || !std::ranges::all_of(parts, write) || ::rename(temporary.c_str(), file.c_str()) != 0) {
    const int error = errno;
    if (descriptor.get() >= 0) ::unlink(temporary.c_str());
    return fail(ErrorCode::unavailable,
                fmt::format("{} {} cannot be written: {}.", what, file.string(), reason(error)));
  }
  return {};
}

}  // namespace driftwood
