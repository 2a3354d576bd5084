#include "device/worker/process.hpp"

#include <dlfcn.h>
#include <fmt/format.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

extern char** environ;

namespace driftwood::worker {
namespace {

namespace fs = std::filesystem;

constexpr const char* kProgram = "driftwood-device-worker";
constexpr auto kGrace = std::chrono::milliseconds(200);

/// The file that this code is in: the program, or the library.
fs::path own_file() {
  Dl_info info{};
  if (dladdr(reinterpret_cast<const void*>(&find_worker_program), &info) == 0 || info.dli_fname == nullptr) return {};
  std::error_code ignored;
  const fs::path named = fs::canonical(info.dli_fname, ignored);
  // A program's name is what it was called by.
  return ignored ? fs::read_symlink("/proc/self/exe", ignored) : named;
}

/// The environment, in which ggml is told not to start a debugger when it ends the process.
std::vector<char*> worker_environment() {
  static char no_backtrace[] = "GGML_NO_BACKTRACE=1";
  std::vector<char*> variables{no_backtrace};
  for (char** at = environ; *at != nullptr; ++at) {
    if (!std::string_view(*at).starts_with("GGML_NO_BACKTRACE=")) variables.push_back(*at);
  }
  variables.push_back(nullptr);
  return variables;
}

std::string describe(int status) {
  if (WIFSIGNALED(status)) return fmt::format("signal {} ({})", WTERMSIG(status), strsignal(WTERMSIG(status)));
  return fmt::format("exit status {}", WEXITSTATUS(status));
}

}  // namespace

Result<fs::path> find_worker_program() {
  std::vector<fs::path> places;
  if (const char* named = std::getenv("DRIFTWOOD_DEVICE_WORKER"); named != nullptr && *named != '\0') {
    places.emplace_back(named);
  } else {
    const fs::path folder = own_file().parent_path();
    places = {folder / ".." / DRIFTWOOD_LIBDIR / "driftwood" / kProgram, folder / "driftwood" / kProgram,
              folder / kProgram, DRIFTWOOD_DEVICE_WORKER_BUILT};
  }
  std::string looked;
  for (const fs::path& place : places) {
    if (access(place.c_str(), X_OK) == 0) return place;
    looked += fmt::format("{}{}", looked.empty() ? "" : ", ", place.lexically_normal().string());
  }
  return fail(ErrorCode::not_found, fmt::format("The device worker's program is in none of these places: {}.", looked));
}

Result<Process> Process::start(const fs::path& program, const Channel& socket) {
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, socket.fd(), kWorkerSocket);
  posix_spawn_file_actions_addclosefrom_np(&actions, kWorkerSocket + 1);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t none;
  sigemptyset(&none);
  posix_spawnattr_setsigmask(&attributes, &none);
  // A group of its own: an interrupt from the terminal is for the node to answer.
  posix_spawnattr_setpgroup(&attributes, 0);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP);
  std::string name = program.string();
  std::array<char*, 2> arguments{name.data(), nullptr};
  auto environment = worker_environment();
  pid_t id = -1;
  const int refused = posix_spawn(&id, name.c_str(), &actions, &attributes, arguments.data(), environment.data());
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  if (refused == 0) return Process(id);
  return fail(ErrorCode::unavailable, fmt::format("The device worker ({}) cannot be started: {}.", name,
                                                  std::generic_category().message(refused)));
}

Process::Process(Process&& other) noexcept : id_(std::exchange(other.id_, -1)) {}

Process& Process::operator=(Process&& other) noexcept {
  std::swap(id_, other.id_);
  return *this;
}

Process::~Process() {
  if (id_ < 0) return;
  kill(id_, SIGKILL);
  end();
}

std::string Process::end() noexcept {
  if (id_ < 0) return "nothing";
  const auto limit = std::chrono::steady_clock::now() + kGrace;
  int status = 0;
  pid_t ended = 0;
  while ((ended = waitpid(id_, &status, WNOHANG)) == 0 && std::chrono::steady_clock::now() < limit) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  if (ended == 0) {
    kill(id_, SIGKILL);
    do {
      ended = waitpid(id_, &status, 0);
    } while (ended < 0 && errno == EINTR);
  }
  const bool known = std::exchange(id_, -1) == ended;
  // Somebody else in the process may have waited for it.
  return known ? describe(status) : "an unknown reason";
}

}  // namespace driftwood::worker
