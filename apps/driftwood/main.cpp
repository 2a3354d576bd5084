// The driftwood program: reads the command line, runs one command, and turns its outcome into an exit status.
//
//   0         success, or a guest's own exit status
//   1         a check of doctor failed, or verify found a difference
//   2         the command line is wrong
//   10 .. 20  an error, by its code (core/error.hpp)

#include <signal.h>

#include <clocale>
#include <cstdio>
#include <cstring>

#include "command.hpp"
#include "console.hpp"
#include "core/log.hpp"
#include "machine.hpp"

namespace driftwood::cli {
namespace {

constexpr int kUsageError = 2;

void set_up_process() {
  // The line editor needs a locale that knows UTF-8; numbers stay as in C.
  std::setlocale(LC_CTYPE, "");
  if (std::strcmp(std::setlocale(LC_CTYPE, nullptr), "C") == 0) std::setlocale(LC_CTYPE, "C.UTF-8");
  // A file that may not grow gives an error to be told, as a full disk does.
  signal(SIGXFSZ, SIG_IGN);
}

LogLevel log_level(const Common& common) {
  if (common.verbose) return LogLevel::info;
  return common.quiet ? LogLevel::error : LogLevel::warning;
}

std::string version_line() {
  const Versions built = versions();
  return "driftwood " + built.driftwood;
}

/// What is wrong with a command line, as a sentence.
std::string usage_sentence(const CLI::App& app, const CLI::ParseError& error) {
  const auto chosen = app.get_subcommands();
  if (!chosen.empty()) {
    return std::string(error.what()) + "; see \"driftwood " + chosen.front()->get_name() + " --help\".";
  }
  std::string names;
  for (const CLI::App* command : app.get_subcommands(nullptr)) {
    if (command->get_group().empty()) continue;  // hidden
    names += (names.empty() ? "" : ", ") + command->get_name();
  }
  const auto words = app.remaining();
  if (words.empty()) return "No command was named; there are " + names + ". See \"driftwood --help\".";
  return "There is no command " + words.front() + "; there are " + names + ".";
}

int run_program(int argc, char** argv) {
  set_up_process();
  CLI::App app("Runs sandboxed WebAssembly actors that hold an AI model session as ordinary memory.", "driftwood");
  app.footer("\"driftwood COMMAND --help\" tells more, with examples. Start with: driftwood chat");
  app.set_version_flag("--version", version_line());
  app.require_subcommand(1);
  app.get_formatter()->column_width(36);
  Common common;
  Action action;
  const Commands commands{app, common, action};
  add_chat(commands);
  add_run(commands);
  add_snapshots(commands);
  add_freeze(commands);
  add_thaw(commands);
  add_fork(commands);
  add_inspect(commands);
  add_verify(commands);
  add_kv(commands);
  add_verify_worker(commands);
  add_models(commands);
  add_doctor(commands);
  add_devices(commands);
  add_bench(commands);
  add_version(commands);
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& success) {
    return app.exit(success);
  } catch (const CLI::ParseError& error) {
    print_note(usage_sentence(app, error));
    return kUsageError;
  }
  set_log_level(log_level(common));
  const Result<int> status = action();
  if (!status) {
    print_error(status.error(), common.json);
    return exit_status(status.error().code);
  }
  if (std::fflush(stdout) != 0) {
    print_note("The output could not be written to its end.");
    return exit_status(ErrorCode::unavailable);
  }
  return *status;
}

}  // namespace
}  // namespace driftwood::cli

int main(int argc, char** argv) { return driftwood::cli::run_program(argc, argv); }
