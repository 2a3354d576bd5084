// driftwood run: a WebAssembly command, in its sandbox, with what it was granted.

#include <algorithm>
#include <memory>
#include <optional>

#include "actor/actor.hpp"
#include "command.hpp"
#include "core/log.hpp"
#include "guest_log.hpp"
#include "model_access.hpp"
#include "options.hpp"
#include "runtime.hpp"

namespace driftwood::cli {
namespace {

struct RunOptions {
  std::vector<std::string> guest;  ///< the module's path, then the guest's arguments
  std::vector<std::string> directories;
  std::vector<std::string> environment;
  std::vector<std::string> models;
  std::string timeout;
  std::optional<Determinism> determinism;
  RuntimeOptions runtime;
};

constexpr const char* kExamples =
    "  driftwood run hello.wasm Ada                      # arguments after the module are the guest's\n"
    "  driftwood run --dir data::/data --env MODE=fast sort.wasm /data/words.txt\n"
    "  driftwood run --model smollm2 tell.wasm           # the guest may open the model \"smollm2\"\n"
    "  driftwood run --model story=./my.gguf tell.wasm   # and this one under the name \"story\"\n"
    "  driftwood run --timeout 5s --max-memory 64M untrusted.wasm\n"
    "A guest gets nothing but its arguments and the standard streams unless it is granted. The exit status is the\n"
    "guest's; a trap is told on standard error with the guest's backtrace, and gives 17.";

Result<WasiOptions> wasi_options(const RunOptions& options, std::vector<std::string> arguments) {
  WasiOptions wasi;
  wasi.arguments = std::move(arguments);
  wasi.inherit_stdin = wasi.inherit_stdout = wasi.inherit_stderr = true;
  for (const std::string& text : options.directories) {
    DW_TRY_ASSIGN(auto directory, parse_directory(text));
    wasi.directories.push_back(std::move(directory));
  }
  for (const std::string& text : options.environment) {
    DW_TRY_ASSIGN(auto variable, parse_environment(text));
    wasi.environment.push_back(std::move(variable));
  }
  return wasi;
}

Result<int> run(const RunOptions& options) {
  std::vector<std::string> arguments = options.guest;
  if (!arguments.empty() && arguments[0] == "--") arguments.erase(arguments.begin());
  if (arguments.empty()) {
    return fail(ErrorCode::invalid_argument, "No guest was named: driftwood run [OPTIONS] GUEST.wasm [ARGUMENTS].");
  }
  if (arguments[0].starts_with('-')) {
    return fail(ErrorCode::invalid_argument,
                "There is no option " + arguments[0] + " before the guest; \"driftwood run --help\" lists them.");
  }
  ActorOptions actor_options;
  DW_TRY_ASSIGN(actor_options.wasi, wasi_options(options, arguments));
  DW_TRY_ASSIGN(actor_options.limits.memory_bytes, options.runtime.memory_bytes());
  if (!options.timeout.empty()) {
    DW_TRY_ASSIGN(actor_options.limits.run_time, parse_duration(options.timeout));
  }
  actor_options.determinism = options.determinism;
  DW_TRY_ASSIGN(const auto models, find_models(options.models));
  DW_TRY_ASSIGN(const Runtime runtime, Runtime::open(options.runtime, files_of(models)));
  actor_options.host.device = runtime.device.get();
  actor_options.host.priority = static_cast<std::int8_t>(options.runtime.priority);
  actor_options.host.models = runtime.models.get();
  actor_options.host.log = log_guest_line;
  DW_TRY(grant_models(models, *runtime.models, actor_options.host.grants));

  DW_TRY_ASSIGN(auto program, Program::load(*runtime.engine, arguments[0], {.freezable = false}));
  if (program->kind() != ProgramKind::command) {
    return fail(ErrorCode::invalid_argument,
                "The module \"" + arguments[0] +
                    "\" does not export _start, so it is not a program that can be run. A chat actor is used with "
                    "\"driftwood chat --guest\".");
  }
  DW_TRY_ASSIGN(const auto actor, Actor::spawn(std::move(program), std::move(actor_options)));
  return actor->run();
}

}  // namespace

void add_run(const Commands& commands) {
  auto options = std::make_shared<RunOptions>();
  CLI::App* command = add_command(commands, commands.app, "run", "Run a WebAssembly program", kExamples);
  set_usage(command, "GUEST.wasm [ARGUMENTS...]");
  command->prefix_command();
  command->add_option("--dir", options->directories, "Let the guest use a folder; repeatable")
      ->type_name("HOST[::GUEST]")
      ->allow_extra_args(false);
  command->add_option("--env", options->environment, "Set a variable for the guest; repeatable")
      ->type_name("NAME=VALUE")
      ->allow_extra_args(false);
  command->add_option("--model", options->models, "Let the guest open a model; repeatable")
      ->type_name("NAME[=PATH]")
      ->allow_extra_args(false);
  command->add_option("--timeout", options->timeout, "End the guest after this time, such as 30s or 500ms")
      ->type_name("TIME");
  add_deterministic_option(command, options->determinism);
  options->runtime.add_to(command);
  command->callback([options, command, &action = commands.action] {
    options->guest = command->remaining();
    action = [options] { return run(*options); };
  });
}

}  // namespace driftwood::cli
