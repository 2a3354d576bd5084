// driftwood bench: hands over to the benchmark program, which is built apart.

#include <filesystem>
#include <memory>

#include "command.hpp"
#include "paths.hpp"
#include "process.hpp"

namespace driftwood::cli {
namespace {

constexpr const char* kProgram = "driftwood-bench";
constexpr const char* kExamples =
    "  driftwood bench                                   # which benchmarks there are\n"
    "  driftwood bench chain --json";

Result<int> bench(const std::vector<std::string>& arguments) {
  DW_TRY_ASSIGN(const std::filesystem::path self, executable_path());
  const std::filesystem::path folder = self.parent_path();
  // Installed beside this program, or in its place in a build tree.
  for (const auto& candidate : {folder / kProgram, folder / ".." / ".." / "bench" / kProgram}) {
    std::error_code error;
    if (!std::filesystem::is_regular_file(candidate, error)) continue;
    std::vector<std::string> command = {candidate.lexically_normal().string()};
    command.insert(command.end(), arguments.begin(), arguments.end());
    return std::unexpected(replace_process(command));
  }
  return fail(ErrorCode::not_found, "The benchmarks are not built: there is no " + std::string(kProgram) +
                                        " beside \"" + self.string() + "\". scripts/bench.sh builds and runs them.");
}

}  // namespace

void add_bench(const Commands& commands) {
  CLI::App* command = add_command(commands, commands.app, "bench", "Run a benchmark", kExamples);
  set_usage(command, "[NAME] [--json] [ARGUMENTS...]");
  command->prefix_command();
  command->callback([command, &action = commands.action] {
    action = [arguments = command->remaining()] { return bench(arguments); };
  });
}

}  // namespace driftwood::cli
