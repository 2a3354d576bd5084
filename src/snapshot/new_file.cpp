#include "snapshot/new_file.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <random>

namespace driftwood {
namespace {

namespace fs = std::filesystem;

fs::path folder_of(const fs::path& path) { return path.has_parent_path() ? path.parent_path() : fs::path("."); }

bool is_there(const fs::path& path) {
  std::error_code error;
  return fs::exists(fs::symlink_status(path, error));
}

std::unexpected<Error> is_taken(const fs::path& path) {
  return fail(ErrorCode::invalid_argument, fmt::format("The file {} is there already.", path.string()));
}

std::unexpected<Error> refused(const LastError& error, const fs::path& path) {
  return error.because(fmt::format("The file {} cannot be written", path.string()));
}

/// A name of an open file of this process.
std::string open_name(int fd) { return fmt::format("/proc/self/fd/{}", fd); }

/// A file without a name that can be given one; -1 where there are none.
int open_without_name(const fs::path& folder, mode_t mode) {
#ifdef __linux__
  const int fd = ::open(folder.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, mode);
  if (fd < 0 || ::access(open_name(fd).c_str(), F_OK) == 0) return fd;
  ::close(fd);
#else
  (void)folder;
  (void)mode;
#endif
  return -1;
}

}  // namespace

Result<NewFile> NewFile::create(const fs::path& path, mode_t mode) {
  if (is_there(path)) return is_taken(path);
  if (const int fd = open_without_name(folder_of(path), mode); fd >= 0) return NewFile(File::adopt(fd, path), {});
  return create_beside(path, mode);
}

Result<NewFile> NewFile::create_beside(const fs::path& path, mode_t mode) {
  if (is_there(path)) return is_taken(path);
  std::random_device random;
  fs::path beside = path;
  beside += fmt::format(".{:08x}{:08x}.part", random(), random());
  const int fd = ::open(beside.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, mode);
  if (fd < 0) return refused(LastError(), path);
  return NewFile(File::adopt(fd, path), std::move(beside));
}

NewFile::~NewFile() { remove_beside(); }

void NewFile::remove_beside() {
  if (!beside_.empty()) ::unlink(beside_.c_str());
  beside_.clear();
}

Result<void> NewFile::publish() {
  const fs::path& path = file_.path();
  const int linked = beside_.empty()
                         ? ::linkat(AT_FDCWD, open_name(file_.fd()).c_str(), AT_FDCWD, path.c_str(), AT_SYMLINK_FOLLOW)
                         : ::link(beside_.c_str(), path.c_str());
  if (linked != 0) {
    const LastError error;
    if (errno == EEXIST) return is_taken(path);
    // Some file systems have one name for each file.
    if (beside_.empty() || ::rename(beside_.c_str(), path.c_str()) != 0) return refused(error, path);
  }
  remove_beside();
  return sync_folder(folder_of(path));
}

}  // namespace driftwood
