#include "device/worker/connection.hpp"

#include <fmt/format.h>
#include <signal.h>

#include <algorithm>
#include <utility>

namespace driftwood::worker {
namespace {

constexpr std::size_t kLetters = 256 * kKiB;
/// How often a caller's wish to cancel is looked at.
constexpr auto kLook = std::chrono::milliseconds(2);

}  // namespace

Result<std::unique_ptr<Connection>> Connection::start(const std::filesystem::path& program,
                                                      std::chrono::milliseconds time_limit) {
  DW_TRY_ASSIGN(auto ends, Channel::create_pair());
  DW_TRY_ASSIGN(Letters letters, Letters::create(kLetters));
  DW_TRY_ASSIGN(Process process, Process::start(program, ends.second));
  std::unique_ptr<Connection> connection(
      new Connection(std::move(process), std::move(ends.first), std::move(letters), time_limit));
  ends.second = Channel(File());  // the worker's end is the worker's alone
  DW_TRY(connection->send_letters());
  return connection;
}

Result<void> Connection::send_letters() {
  const int file = letters_.fd();
  return send({.kind = Kind::letters, .size = letters_.capacity()}, {&file, 1});
}

Result<void> Connection::send(const Packet& packet, std::span<const int> files) {
  auto sent = channel_.send(packet, files);
  if (sent || sent.error().code != ErrorCode::unavailable) return sent;
  ended_ = true;
  return fail(ErrorCode::unavailable, "The device worker ended.");
}

Result<std::vector<std::byte>> Connection::ask(const Request& request) {
  std::size_t needed = request.body.size();
  for (const auto& part : request.behind) needed += part.size();
  needed = std::max(needed, request.answer_bytes);
  if (needed > letters_.capacity()) {
    DW_TRY_ASSIGN(letters_, Letters::create(std::max(needed, 2 * letters_.capacity())));
    DW_TRY(send_letters());
  }
  send_late();
  auto at = std::ranges::copy(request.body, letters_.requests().begin()).out;
  for (const auto& part : request.behind) at = std::ranges::copy(part, at).out;
  DW_TRY_ASSIGN(const Packet answer, exchange({.kind = request.kind, .id = request.id, .size = request.body.size()},
                                              request.files, request.cancel));
  const auto body = letters_.answers().first(static_cast<std::size_t>(answer.size));
  std::vector<std::byte> bytes(body.begin(), body.end());
  if (answer.failed == 0) return bytes;
  constexpr std::size_t kLongest = 4096;
  return fail(static_cast<ErrorCode>(answer.failed - 1),
              std::string(reinterpret_cast<const char*>(bytes.data()), std::min(bytes.size(), kLongest)));
}

Result<Packet> Connection::exchange(Packet packet, std::span<const int> files, const std::atomic<bool>* cancel) {
  packet.sequence = ++sequence_;
  letters_.cancel().store(false);
  DW_TRY(send(packet, files));
  return wait_for(packet.sequence, cancel);
}

Result<Packet> Connection::wait_for(std::uint64_t sequence, const std::atomic<bool>* cancel) {
  const auto end = std::chrono::steady_clock::now() + time_limit_;
  const auto step = cancel == nullptr ? time_limit_ : std::min<std::chrono::milliseconds>(kLook, time_limit_);
  while (!channel_.wait(step)) {
    if (cancel != nullptr && cancel->load(std::memory_order_relaxed)) letters_.cancel().store(true);
    if (std::chrono::steady_clock::now() >= end) {
      return kill(fmt::format("did not answer within {} s", std::chrono::duration<double>(time_limit_).count()));
    }
  }
  auto received = channel_.receive();
  if (!received) {
    if (received.error().code == ErrorCode::corrupt) return kill("answered with nonsense");
    ended_ = true;
    return fail(ErrorCode::unavailable, "The device worker ended.");
  }
  const Packet& packet = received->packet;
  if (packet.sequence != sequence || packet.size > letters_.capacity() ||
      packet.failed > 1 + static_cast<std::uint32_t>(ErrorCode::internal)) {
    return kill("answered with nonsense");
  }
  return packet;
}

std::unexpected<Error> Connection::kill(std::string why) {
  ended_ = true;
  ::kill(process_.id(), SIGKILL);
  return fail(ErrorCode::internal, fmt::format("The device worker {}, and was ended.", why));
}

void Connection::notify(Kind kind, std::uint64_t id) noexcept {
  const Packet packet{.kind = kind, .id = id};
  const std::lock_guard lock(late_mutex_);
  if (!late_.empty() || !channel_.try_send(packet)) late_.push_back(packet);
}

void Connection::send_late() noexcept {
  std::vector<Packet> packets;
  {
    const std::lock_guard lock(late_mutex_);
    std::swap(packets, late_);
  }
  // Whether the worker is there is seen by what is asked next.
  for (const Packet& packet : packets) static_cast<void>(channel_.send(packet));
}

bool Connection::ended() noexcept {
  if (!ended_ && channel_.hung_up()) ended_ = true;
  return ended_;
}

}  // namespace driftwood::worker
