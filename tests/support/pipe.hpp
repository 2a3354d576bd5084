// What processes that a test forks tell each other: that they have come so far.
//
// Each says which end it uses, so that nobody waits for one that has ended.
#pragma once

#include <unistd.h>

#include <cerrno>
#include <system_error>
#include <utility>

namespace driftwood::testing {

class Pipe {
 public:
  Pipe() {
    if (::pipe(ends_) != 0) throw std::system_error(errno, std::system_category(), "pipe");
  }
  ~Pipe() {
    for (const int end : ends_) {
      if (end >= 0) ::close(end);
    }
  }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;
  void only_wait() { ::close(std::exchange(ends_[1], -1)); }
  void only_tell() { ::close(std::exchange(ends_[0], -1)); }
  /// False where nobody can hear it.
  bool tell() const { return ::write(ends_[1], "x", 1) == 1; }
  /// For one tell(); false where nobody is left to tell.
  bool wait() const {
    char byte = 0;
    return ::read(ends_[0], &byte, 1) == 1;
  }

 private:
  int ends_[2] = {-1, -1};
};

}  // namespace driftwood::testing
