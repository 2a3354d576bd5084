#include "process.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "core/bytes.hpp"

extern char** environ;

namespace driftwood::cli {
namespace {

constexpr std::size_t kKeptOutput = 64 * kKiB;
constexpr int kTick_ms = 200;

/// Of the InterruptShield that lives, if any.
volatile sig_atomic_t shielded = 0;
volatile sig_atomic_t interrupted = 0;

std::vector<char*> pointers(const std::vector<std::string>& strings) {
  std::vector<char*> list;
  for (const std::string& text : strings) list.push_back(const_cast<char*>(text.c_str()));
  list.push_back(nullptr);
  return list;
}

std::vector<std::string> merged_environment(const std::vector<std::pair<std::string, std::string>>& additions) {
  std::vector<std::string> merged;
  for (const auto& [name, value] : additions) merged.push_back(name + "=" + value);
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view existing(*entry);
    const std::string_view name = existing.substr(0, existing.find('='));
    bool replaced = false;
    for (const auto& addition : additions) replaced = replaced || addition.first == name;
    if (!replaced) merged.emplace_back(existing);
  }
  return merged;
}

Error start_error(const std::string& program, int error) {
  const ErrorCode code = error == ENOENT ? ErrorCode::not_found : ErrorCode::unavailable;
  return {code, "The program \"" + program + "\" could not be started: " + std::strerror(error) + ".", {}};
}

/// posix_spawn with standard input from nowhere, output into `output_fd`, and signals as a program expects them.
int spawn(const ProcessOptions& options, int output_fd, pid_t* child) {
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, output_fd, STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions, output_fd, STDERR_FILENO);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t none;
  sigemptyset(&none);
  posix_spawnattr_setsigmask(&attributes, &none);
  sigset_t defaults;
  sigemptyset(&defaults);
  for (const int number : {SIGINT, SIGPIPE, SIGXFSZ}) sigaddset(&defaults, number);
  posix_spawnattr_setsigdefault(&attributes, &defaults);
  short flags = POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF;
  // A group of its own, so that all that it starts can be ended with it.
  if (shielded != 0) flags |= POSIX_SPAWN_SETPGROUP;
  posix_spawnattr_setflags(&attributes, flags);
  const std::vector<std::string> environment = merged_environment(options.environment);
  const int error = posix_spawnp(child, options.arguments[0].c_str(), &actions, &attributes,
                                 pointers(options.arguments).data(), pointers(environment).data());
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  return error;
}

std::string read_output(int fd, pid_t child, const std::function<void()>& tick) {
  std::string output;
  char block[4096];
  while (true) {
    pollfd waiting{fd, POLLIN, 0};
    const int ready = poll(&waiting, 1, kTick_ms);
    // Again and again, until it has ended: it may have begun to listen only now.
    if (interrupted != 0) kill(-child, SIGINT);
    if (tick) tick();
    if (ready == 0 || (ready < 0 && errno == EINTR)) continue;
    const ssize_t size = read(fd, block, sizeof(block));
    if (size < 0 && errno == EINTR) continue;
    if (size <= 0) return output;
    output.append(block, static_cast<std::size_t>(size));
    if (output.size() > kKeptOutput) output.erase(0, output.size() - kKeptOutput);
  }
}

}  // namespace

Result<ProcessResult> run_process(const ProcessOptions& options) {
  int ends[2];
  if (pipe(ends) != 0) {
    return fail(ErrorCode::unavailable, "A pipe could not be made: " + std::string(std::strerror(errno)) + ".");
  }
  fcntl(ends[0], F_SETFD, FD_CLOEXEC);
  fcntl(ends[1], F_SETFD, FD_CLOEXEC);
  pid_t child = 0;
  const int error = spawn(options, ends[1], &child);
  close(ends[1]);
  if (error != 0) {
    close(ends[0]);
    return std::unexpected(start_error(options.arguments[0], error));
  }
  ProcessResult result;
  result.output = read_output(ends[0], child, options.tick);
  close(ends[0]);
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  result.status = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
  return result;
}

InterruptShield::InterruptShield() {
  interrupted = 0;
  shielded = 1;
  struct sigaction note{};
  note.sa_handler = [](int) { interrupted = 1; };
  sigaction(SIGINT, &note, &previous_);
}

InterruptShield::~InterruptShield() {
  sigaction(SIGINT, &previous_, nullptr);
  shielded = 0;
  interrupted = 0;
}

Error replace_process(const std::vector<std::string>& arguments) {
  execvp(arguments[0].c_str(), pointers(arguments).data());
  return start_error(arguments[0], errno);
}

}  // namespace driftwood::cli
