#include "device/worker/channel.hpp"

#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <system_error>

namespace driftwood::worker {
namespace {

std::unexpected<Error> gone() {
  return fail(ErrorCode::unavailable, "The other side of the device worker's socket is gone.");
}

}  // namespace

File::~File() {
  if (fd_ >= 0) close(fd_);
}

Result<std::pair<Channel, Channel>> Channel::create_pair() {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) {
    return fail(ErrorCode::out_of_memory,
                "The system refused a pair of sockets: " + std::generic_category().message(errno) + ".");
  }
  return std::pair(Channel(File(ends[0])), Channel(File(ends[1])));
}

Result<void> Channel::send(const Packet& packet, std::span<const int> files) const {
  DW_CHECK(files.size() <= kMostFiles);
  iovec part{const_cast<Packet*>(&packet), sizeof(packet)};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(kMostFiles * sizeof(int))> control;
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (!files.empty()) {
    message.msg_control = control.data();
    message.msg_controllen = CMSG_SPACE(files.size_bytes());
    cmsghdr* const header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(files.size_bytes());
    std::memcpy(CMSG_DATA(header), files.data(), files.size_bytes());
  }
  for (;;) {
    if (sendmsg(fd(), &message, MSG_NOSIGNAL) >= 0) return {};
    if (errno == EINTR) continue;
    if (errno == EPIPE || errno == ECONNRESET) return gone();
    return fail(ErrorCode::out_of_memory,
                "The system refused a message to the device worker: " + std::generic_category().message(errno) + ".");
  }
}

bool Channel::try_send(const Packet& packet) const noexcept {
  return ::send(fd(), &packet, sizeof(packet), MSG_NOSIGNAL | MSG_DONTWAIT) == static_cast<ssize_t>(sizeof(packet));
}

bool Channel::wait(std::chrono::milliseconds limit) const noexcept {
  pollfd waited{.fd = fd(), .events = POLLIN, .revents = 0};
  return poll(&waited, 1, static_cast<int>(limit.count())) > 0;
}

bool Channel::hung_up() const noexcept {
  pollfd waited{.fd = fd(), .events = POLLRDHUP, .revents = 0};
  return poll(&waited, 1, 0) > 0 && (waited.revents & (POLLHUP | POLLRDHUP | POLLERR)) != 0;
}

Result<Received> Channel::receive() const {
  Received received;
  iovec part{&received.packet, sizeof(received.packet)};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(kMostFiles * sizeof(int))> control;
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  ssize_t size;
  do {
    size = recvmsg(fd(), &message, MSG_CMSG_CLOEXEC);
  } while (size < 0 && errno == EINTR);
  if (size <= 0) return gone();
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr; header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < count; ++i) {
      int file;
      std::memcpy(&file, CMSG_DATA(header) + i * sizeof(int), sizeof(int));
      received.files.emplace_back(file);
    }
  }
  const Packet& packet = received.packet;
  const bool whole =
      size == static_cast<ssize_t>(sizeof(Packet)) && (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) == 0;
  if (!whole || packet.magic != Packet::kMagic || static_cast<std::uint32_t>(packet.kind) >= kKinds) {
    return broken("packet");
  }
  return received;
}

}  // namespace driftwood::worker
