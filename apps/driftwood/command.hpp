// What the commands of the binary have in common: each command is one file that
// adds itself to the command line, and gives main an action to run.
//
// Commands print their results on standard output and return errors; main prints
// those and turns them into exit statuses. One thread.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <optional>
#include <string>

#include "core/error.hpp"
#include "wasm/determinism.hpp"

namespace driftwood::cli {

/// Options that several commands take, filled while the command line is read.
struct Common {
  bool json = false;
  bool verbose = false;
  bool quiet = false;
};

/// Runs the chosen command; the value is the process's exit status.
using Action = std::function<Result<int>()>;

struct Commands {
  CLI::App& app;
  Common& common;
  Action& action;  ///< set by the command that was chosen
};

/// Adds a command with --verbose and --quiet; `examples` stands at the end of its --help.
CLI::App* add_command(const Commands& commands, CLI::App& parent, const std::string& name,
                      const std::string& description, const std::string& examples = {});
/// Says in the usage line of --help what follows the options.
void set_usage(CLI::App* command, const std::string& arguments);
/// Adds --json.
void add_json_option(CLI::App* command, Common& common);
/// Adds --deterministic[=SEED].
void add_deterministic_option(CLI::App* command, std::optional<Determinism>& determinism);

void add_run(const Commands& commands);
void add_chat(const Commands& commands);
void add_snapshots(const Commands& commands);
void add_freeze(const Commands& commands);
void add_thaw(const Commands& commands);
void add_fork(const Commands& commands);
void add_inspect(const Commands& commands);
void add_verify(const Commands& commands);
void add_kv(const Commands& commands);
/// The hidden command that `verify` runs as its processes.
void add_verify_worker(const Commands& commands);
void add_models(const Commands& commands);
void add_doctor(const Commands& commands);
void add_devices(const Commands& commands);
void add_bench(const Commands& commands);
void add_version(const Commands& commands);

}  // namespace driftwood::cli
