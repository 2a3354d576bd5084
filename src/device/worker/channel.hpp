// One end of the socket between a node and its device worker: packets, with open files where they have some.
//
// Sending may be done from any thread; receiving is for one.
#pragma once

#include <chrono>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "core/error.hpp"
#include "device/worker/wire.hpp"

namespace driftwood::worker {

/// An open file. Move-only.
class File {
 public:
  File() = default;
  explicit File(int fd) : fd_(fd) {}
  File(File&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  File& operator=(File&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~File();
  int fd() const noexcept { return fd_; }

 private:
  int fd_ = -1;
};

struct Received {
  Packet packet;
  std::vector<File> files;
};

class Channel {
 public:
  /// Two ends, both closed on exec.
  static Result<std::pair<Channel, Channel>> create_pair();
  explicit Channel(File socket) : socket_(std::move(socket)) {}

  int fd() const noexcept { return socket_.fd(); }
  /// unavailable: the other side is gone.
  Result<void> send(const Packet& packet, std::span<const int> files = {}) const;
  /// The same without waiting: false where the other side is not reading now, or gone.
  bool try_send(const Packet& packet) const noexcept;
  /// Waits until there is something to receive, or the other side is gone; at most `limit`. False: the time is over.
  bool wait(std::chrono::milliseconds limit) const noexcept;
  /// Whether the other side closed its end.
  bool hung_up() const noexcept;
  /// The next packet; waits for it. unavailable: the other side is gone; corrupt: it is no packet of ours.
  Result<Received> receive() const;

 private:
  File socket_;
};

}  // namespace driftwood::worker
