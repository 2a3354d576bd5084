#include "snapshot/new_file.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

namespace driftwood {
namespace {

namespace fs = std::filesystem;

constexpr mode_t kMode = 0666;  // less the umask

fs::path folder_of(const fs::path& path) { return path.has_parent_path() ? path.parent_path() : fs::path("."); }

std::unexpected<Error> is_taken(const fs::path& path) {
  return fail(ErrorCode::invalid_argument, fmt::format("The file {} is there already.", path.string()));
}

std::unexpected<Error> refused(const LastError& error, const fs::path& path) {
  return error.because(fmt::format("The file {} cannot be written", path.string()));
}

/// Before much is written: nothing has the name, and it is one that a file can have.
Result<void> check_name(const fs::path& path) {
  struct stat status{};
  if (::lstat(path.c_str(), &status) == 0) return is_taken(path);
  const LastError error;
  if (errno != ENOENT || path.filename().empty()) return refused(error, path);
  return {};
}

/// A name of an open file of this process.
std::string open_name(int fd) { return fmt::format("/proc/self/fd/{}", fd); }

/// A file without a name that can be given one; -1 where there are none.
int open_without_name(const fs::path& folder) {
#ifdef __linux__
  const int fd = ::open(folder.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, kMode);
  if (fd < 0 || ::access(open_name(fd).c_str(), F_OK) == 0) return fd;
  ::close(fd);
#else
  (void)folder;
#endif
  return -1;
}

}  // namespace

Result<NewFile> NewFile::create(const fs::path& path) {
  DW_TRY(check_name(path));
  if (const int fd = open_without_name(folder_of(path)); fd >= 0) return NewFile(File::adopt(fd, path), {});
  return create_beside(path);
}

Result<NewFile> NewFile::create_beside(const fs::path& path) {
  DW_TRY(check_name(path));
  fs::path beside = path;
  beside += "." + unused_name() + ".part";
  const int fd = ::open(beside.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, kMode);
  if (fd < 0) return refused(LastError(), path);
  return NewFile(File::adopt(fd, path), std::move(beside));
}

NewFile::~NewFile() { remove_beside(); }

void NewFile::remove_beside() {
  if (!beside_.empty()) ::unlink(beside_.c_str());
  beside_.clear();
}

Result<void> NewFile::give_name() {
  const fs::path& path = file_.path();
  const bool linked = beside_.empty() ? ::linkat(AT_FDCWD, open_name(file_.fd()).c_str(), AT_FDCWD, path.c_str(),
                                                 AT_SYMLINK_FOLLOW) == 0
                                      : ::link(beside_.c_str(), path.c_str()) == 0;
  if (linked) return {};
  const LastError error;
  if (errno == EEXIST) return is_taken(path);
  const bool one_name_each = errno == EPERM || errno == EOPNOTSUPP || errno == ENOSYS || errno == EMLINK;
  if (beside_.empty() || !one_name_each) return refused(error, path);
  DW_TRY(check_name(path));
  return rename_file(beside_, path);
}

Result<void> NewFile::publish() {
  DW_TRY(file_.sync());
  DW_TRY(give_name());
  // Some file systems forget a file that had no name when it was synced.
  if (beside_.empty()) DW_TRY(file_.sync());
  remove_beside();
  return sync_folder(folder_of(file_.path()));
}

}  // namespace driftwood
