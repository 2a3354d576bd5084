// A device worker that runs: its process, the socket and the shared letters, and requests with their answers.
//
// Once it has ended it stays so. One thread at a time may ask; any may notify and look.
#pragma once

#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "device/worker/letters.hpp"
#include "device/worker/process.hpp"

namespace driftwood::worker {

struct Request {
  Kind kind = Kind::open;
  std::uint64_t id = 0;
  std::span<const std::byte> body;
  std::span<const std::span<const std::byte>> behind;  ///< more bytes that follow the body
  std::span<const int> files;
  std::size_t answer_bytes = 4096;  ///< at most, of the answer's body
  const std::atomic<bool>* cancel = nullptr;
};

class Connection {
 public:
  /// Starts a worker. `time_limit`: of each request, after which the worker counts as hung. Fails as Process::start
  /// does.
  static Result<std::unique_ptr<Connection>> start(const std::filesystem::path& program,
                                                   std::chrono::milliseconds time_limit);

  /// The answer's body. The worker's own errors; or, if the worker is at its end: unavailable, that it ended, and
  /// internal, that it did not answer in time or with nonsense, for which it was killed.
  Result<std::vector<std::byte>> ask(const Request& request);
  /// Tells without an answer; never waits.
  void notify(Kind kind, std::uint64_t id) noexcept;

  /// Whether the worker is at its end; asks the system.
  bool ended() noexcept;
  /// How it ended.
  std::string end() noexcept { return process_.end(); }
  pid_t process_id() const noexcept { return process_.id(); }

 private:
  Connection(Process process, Channel channel, Letters letters, std::chrono::milliseconds time_limit)
      : process_(std::move(process)),
        channel_(std::move(channel)),
        letters_(std::move(letters)),
        time_limit_(time_limit) {}

  Result<Packet> exchange(Packet packet, std::span<const int> files, const std::atomic<bool>* cancel);
  Result<Packet> wait_for(std::uint64_t sequence, const std::atomic<bool>* cancel);
  Result<void> send(const Packet& packet, std::span<const int> files);
  Result<void> send_letters();
  void send_late() noexcept;
  std::unexpected<Error> kill(std::string why);

  Process process_;
  Channel channel_;
  Letters letters_;
  std::chrono::milliseconds time_limit_;
  std::uint64_t sequence_ = 0;
  std::atomic<bool> ended_{false};
  std::mutex late_mutex_;
  std::vector<Packet> late_;  ///< what notify() could not send at once
};

}  // namespace driftwood::worker
