// The device worker as a process: where its program is, how it is started, and what became of it. One thread at a time.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <string>

#include "core/error.hpp"
#include "device/worker/channel.hpp"

namespace driftwood::worker {

/// The socket that a worker finds open when it starts.
inline constexpr int kWorkerSocket = 3;

/// The worker's program: DRIFTWOOD_DEVICE_WORKER of the environment, beside the installed program or library, or of the
/// build tree. not_found: there is none, with where it was looked for.
Result<std::filesystem::path> find_worker_program();

class Process {
 public:
  /// Starts `program` with `socket` as kWorkerSocket, standard error as ours and nothing else open; signals of a
  /// terminal do not reach it. unavailable: the system refused.
  static Result<Process> start(const std::filesystem::path& program, const Channel& socket);
  Process(Process&& other) noexcept;
  Process& operator=(Process&& other) noexcept;
  /// Kills it.
  ~Process();

  pid_t id() const noexcept { return id_; }
  /// Waits shortly for it to end by itself, kills it if it does not, and says how it ended: "signal 9 (Killed)".
  std::string end() noexcept;

 private:
  explicit Process(pid_t id) : id_(id) {}
  pid_t id_ = -1;
};

}  // namespace driftwood::worker
