#include "command.hpp"

#include <memory>

namespace driftwood::cli {
namespace {

/// For what CLI11 cannot know of: arguments that a command takes as they are.
class UsageFormatter : public CLI::Formatter {
 public:
  explicit UsageFormatter(std::string arguments) : arguments_(std::move(arguments)) {}
  std::string make_usage(const CLI::App* app, std::string name) const override {
    std::string usage = CLI::Formatter::make_usage(app, std::move(name));
    usage.insert(usage.find_last_not_of('\n') + 1, " " + arguments_);
    return usage;
  }

 private:
  std::string arguments_;
};

}  // namespace

CLI::App* add_command(const Commands& commands, CLI::App& parent, const std::string& name,
                      const std::string& description, const std::string& examples) {
  CLI::App* command = parent.add_subcommand(name, description);
  if (!examples.empty()) command->footer("Examples:\n" + examples);
  command->add_flag("-v,--verbose", commands.common.verbose, "Log what is being done")->group("Common options");
  command->add_flag("-q,--quiet", commands.common.quiet, "Log errors only, and show no progress")
      ->group("Common options");
  return command;
}

void set_usage(CLI::App* command, const std::string& arguments) {
  command->formatter(std::make_shared<UsageFormatter>(arguments));
}

void add_json_option(CLI::App* command, Common& common) {
  command->add_flag("--json", common.json, "Print JSON instead of text")->group("Common options");
}

void add_deterministic_option(CLI::App* command, std::optional<Determinism>& determinism) {
  // Where the virtual clock begins: the same for every run, and late enough for programs that look at the year.
  static constexpr std::uint64_t kClockStart = 1'700'000'000ULL * 1'000'000'000ULL;
  command
      ->add_flag_function(
          "--deterministic{0}",
          [&determinism](std::int64_t seed) {
            determinism = Determinism{.seed = static_cast<std::uint64_t>(seed), .clock_ns = kClockStart};
          },
          "Give the guest a virtual clock and random numbers of a seed (0, or --deterministic=SEED) instead of the "
          "system's")
      ->type_name("");
}

}  // namespace driftwood::cli
