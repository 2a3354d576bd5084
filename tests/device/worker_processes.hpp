// The device workers that this process started, by looking at the system's list of processes.
#pragma once

#include <signal.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

namespace driftwood::testing {

/// Live children of this process.
inline std::vector<pid_t> worker_processes() {
  std::vector<pid_t> found;
  std::error_code ignored;
  for (const auto& task : std::filesystem::directory_iterator("/proc/self/task", ignored)) {
    std::ifstream children(task.path() / "children");
    for (pid_t id = 0; children >> id;) {
      std::ifstream stat("/proc/" + std::to_string(id) + "/stat");
      std::string text((std::istreambuf_iterator<char>(stat)), {});
      const std::size_t name_end = text.rfind(')');
      if (name_end != std::string::npos && text.size() > name_end + 2 && text[name_end + 2] != 'Z') found.push_back(id);
    }
  }
  return found;
}

/// Kills every one of them; false where there was none.
inline bool kill_workers() {
  const auto workers = worker_processes();
  for (const pid_t id : workers) kill(id, SIGKILL);
  return !workers.empty();
}

}  // namespace driftwood::testing
