#include "core/private_folder.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <string>
#include <system_error>
#include <vector>

namespace driftwood {
namespace {

constexpr std::string_view kUnfinished = "new-";  // begins the names of files that are being written

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

/// A file that is being written. Its process holds a lock on it, which goes with the process.
struct UnfinishedFile {
  std::string path;
  Descriptor descriptor;
};

/// The descriptor is none where the system refused.
UnfinishedFile make_unfinished(const std::filesystem::path& folder) {
  while (true) {
    std::string path = (folder / kUnfinished).string() + "XXXXXX";
    Descriptor descriptor(::mkostemp(path.data(), O_CLOEXEC));
    if (descriptor.get() < 0) return {std::move(path), std::move(descriptor)};
    // Where files cannot be locked, nobody can take this one for a leftover either.
    while (::flock(descriptor.get(), LOCK_EX) != 0 && errno == EINTR) {
    }
    // Before it was locked, it may have been taken for one.
    struct stat status{};
    if (::fstat(descriptor.get(), &status) != 0 || status.st_nlink != 0)
      return {std::move(path), std::move(descriptor)};
  }
}

/// Removes a file that nobody writes.
void remove_leftover(const std::filesystem::path& path) {
  const Descriptor descriptor(::open(path.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW));
  if (descriptor.get() < 0 || ::flock(descriptor.get(), LOCK_EX | LOCK_NB) != 0) return;
  // Who held the lock until now has given the file its name, which may by now be another one's that is being written.
  struct stat locked{};
  struct stat named{};
  if (::fstat(descriptor.get(), &locked) != 0 || ::lstat(path.c_str(), &named) != 0) return;
  if (locked.st_dev == named.st_dev && locked.st_ino == named.st_ino) ::unlink(path.c_str());
}

/// Gives an unfinished file its name; 0, or why the system refused.
int give_name(const std::string& unfinished, const std::filesystem::path& file, const std::function<bool()>& keeps) {
  if (keeps != nullptr) {
    // Of processes that come here at once, one makes the file.
    const bool made = ::link(unfinished.c_str(), file.c_str()) == 0;
    if (made || (errno == EEXIST && keeps())) {
      ::unlink(unfinished.c_str());
      return 0;
    }
  }
  return ::rename(unfinished.c_str(), file.c_str()) == 0 ? 0 : errno;
}

/// The names in a folder that `accepts` accepts.
std::vector<std::filesystem::path> files_in(const std::filesystem::path& folder,
                                            const std::function<bool(std::string_view)>& accepts) {
  std::vector<std::filesystem::path> files;
  std::error_code error;
  for (std::filesystem::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    if (accepts(entry->path().filename().string())) files.push_back(entry->path());
  }
  return files;
}

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
                                  std::initializer_list<std::span<const std::byte>> parts, std::string_view what,
                                  const std::function<bool()>& keeps) const {
  for (const auto& left : files_in(folder_, [](std::string_view name) { return name.starts_with(kUnfinished); })) {
    remove_leftover(left);
  }
  const UnfinishedFile unfinished = make_unfinished(folder_);
  const int fd = unfinished.descriptor.get();
  const auto write = [&](std::span<const std::byte> part) { return write_all(fd, part); };
  int error = fd >= 0 && std::ranges::all_of(parts, write) ? 0 : errno;
  if (error == 0) error = give_name(unfinished.path, file, keeps);
  if (error == 0) return {};
  if (fd >= 0) ::unlink(unfinished.path.c_str());
  return fail(ErrorCode::unavailable, fmt::format("{} {} cannot be written: {}.", what, file.string(), reason(error)));
}

void PrivateFolder::remove_files(const std::function<bool(std::string_view name)>& is_old) const {
  for (const auto& file : files_in(folder_, is_old)) ::unlink(file.c_str());
}

}  // namespace driftwood
