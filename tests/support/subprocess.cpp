#include "support/subprocess.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <stdexcept>

#if defined(__APPLE__)
#include <util.h>
#else
#include <pty.h>
#endif

namespace driftwood::testing {
namespace {

using Clock = std::chrono::steady_clock;

int milliseconds_until(Clock::time_point end) {
  const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(end - Clock::now()).count();
  return left > 0 ? static_cast<int>(left) : 0;
}

/// In the child, after fork: becomes the program.
[[noreturn]] void become(const std::vector<std::string>& arguments, const Environment& environment) {
  for (const auto& [name, value] : environment) setenv(name.c_str(), value.c_str(), 1);
  std::vector<char*> list;
  for (const std::string& argument : arguments) list.push_back(const_cast<char*>(argument.c_str()));
  list.push_back(nullptr);
  execv(list[0], list.data());
  _exit(127);
}

int status_of(int status) { return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status); }

struct Pipe {
  int read_end = -1;
  int write_end = -1;
  Pipe() {
    int ends[2];
    if (pipe(ends) != 0) throw std::runtime_error("pipe failed");
    read_end = ends[0];
    write_end = ends[1];
    fcntl(read_end, F_SETFD, FD_CLOEXEC);
    fcntl(write_end, F_SETFD, FD_CLOEXEC);
  }
  ~Pipe() {
    close_read();
    close_write();
  }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;
  void close_read() {
    if (read_end >= 0) close(std::exchange(read_end, -1));
  }
  void close_write() {
    if (write_end >= 0) close(std::exchange(write_end, -1));
  }
};

/// Moves what is there into `text`; closes the end at the stream's end.
void drain(Pipe& pipe, std::string& text) {
  char block[4096];
  const ssize_t size = read(pipe.read_end, block, sizeof(block));
  if (size > 0) text.append(block, static_cast<std::size_t>(size));
  if (size == 0 || (size < 0 && errno != EINTR)) pipe.close_read();
}

}  // namespace

Outcome run(const Command& command) {
  signal(SIGPIPE, SIG_IGN);
  Pipe input;
  Pipe out;
  Pipe err;
  const pid_t child = fork();
  if (child < 0) throw std::runtime_error("fork failed");
  if (child == 0) {
    dup2(input.read_end, STDIN_FILENO);
    dup2(out.write_end, STDOUT_FILENO);
    dup2(err.write_end, STDERR_FILENO);
    signal(SIGPIPE, SIG_DFL);
    if (command.file_size_limit) {
      const rlimit limit{*command.file_size_limit, *command.file_size_limit};
      setrlimit(RLIMIT_FSIZE, &limit);
    }
    become(command.arguments, command.environment);
  }
  input.close_read();
  out.close_write();
  err.close_write();
  fcntl(input.write_end, F_SETFL, O_NONBLOCK);

  Outcome outcome;
  std::size_t written = 0;
  const auto end = Clock::now() + command.timeout;
  while (out.read_end >= 0 || err.read_end >= 0) {
    if (input.write_end >= 0 && written == command.input.size()) input.close_write();
    pollfd waiting[] = {{out.read_end, POLLIN, 0}, {err.read_end, POLLIN, 0}, {input.write_end, POLLOUT, 0}};
    if (poll(waiting, 3, milliseconds_until(end)) == 0) {
      kill(child, SIGKILL);
      break;
    }
    if (out.read_end >= 0 && waiting[0].revents != 0) drain(out, outcome.out);
    if (err.read_end >= 0 && waiting[1].revents != 0) drain(err, outcome.err);
    if (input.write_end >= 0 && waiting[2].revents != 0) {
      const ssize_t size = write(input.write_end, command.input.data() + written, command.input.size() - written);
      if (size > 0) written += static_cast<std::size_t>(size);
      if (size < 0 && errno == EPIPE) input.close_write();
    }
  }
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  outcome.status = status_of(status);
  return outcome;
}

TerminalProgram::TerminalProgram(const std::vector<std::string>& arguments, const Environment& environment) {
  winsize size{};
  size.ws_row = 24;
  size.ws_col = 80;
  child_ = forkpty(&terminal_, nullptr, nullptr, &size);
  if (child_ < 0) throw std::runtime_error("forkpty failed");
  if (child_ == 0) become(arguments, environment);
}

TerminalProgram::~TerminalProgram() {
  if (child_ > 0) {
    kill(child_, SIGKILL);
    waitpid(child_, nullptr, 0);
  }
  close(terminal_);
}

void TerminalProgram::type(std::string_view keys) {
  while (!keys.empty()) {
    const ssize_t size = write(terminal_, keys.data(), keys.size());
    if (size < 0 && errno != EINTR) throw std::runtime_error("writing to the terminal failed");
    if (size > 0) keys.remove_prefix(static_cast<std::size_t>(size));
  }
}

bool TerminalProgram::read_some(Clock::time_point until) {
  pollfd waiting{terminal_, POLLIN, 0};
  if (poll(&waiting, 1, milliseconds_until(until)) <= 0) return false;
  char block[4096];
  const ssize_t size = read(terminal_, block, sizeof(block));
  if (size <= 0) return false;
  screen_.append(block, static_cast<std::size_t>(size));
  return true;
}

bool TerminalProgram::shows(std::string_view text, std::chrono::seconds timeout) {
  const auto until = Clock::now() + timeout;
  while (true) {
    const std::size_t found = screen_.find(text, seen_);
    if (found != std::string::npos) {
      seen_ = found + text.size();
      return true;
    }
    if (!read_some(until)) return false;
  }
}

std::optional<int> TerminalProgram::ends(std::chrono::seconds timeout) {
  const auto until = Clock::now() + timeout;
  while (read_some(until)) {
  }
  int status = 0;
  while (Clock::now() < until) {
    if (waitpid(child_, &status, WNOHANG) == child_) {
      child_ = -1;
      return status_of(status);
    }
    usleep(10'000);
  }
  return std::nullopt;
}

}  // namespace driftwood::testing
