// driftwood-bench NAME [--json]: runs one benchmark and prints its report.
//
//   0         it ran, and its own check of the result held
//   2         the command line is wrong
//   10 .. 20  an error, by its code (core/error.hpp)

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>

#include "benchmark.hpp"

namespace driftwood::bench {
namespace {

constexpr int kUsageError = 2;

constexpr Benchmark kBenchmarks[] = {
    {"chain", "memory that an import takes, a guest's call into the host, a GEMM by a guest and natively", run_chain,
     true},
    {"forward", "prefill and decode by a guest, against libllama in the same run", run_forward},
    {"limits", "memory bandwidth and arithmetic of the machine, and how near the model comes to them", run_limits},
    {"coldstart", "process start to the first guest instruction, and one more actor", run_coldstart, true},
    {"snapshot", "freeze, thaw and save of an actor, against libllama's state and against prefill", run_snapshot},
    {"many", "many actors at once: throughput against libllama's batches, waits, waking, memory", run_many},
    {"gpu", "a GPU: decode, prefill, batches, freeze and thaw, against libllama on the same card", run_gpu, true},
    {"worker", "what a device worker, a process of its own that computes, adds to a forward pass", run_worker},
    {"fork", "forks of a live actor: time, memory, what their first token writes", run_fork},
};

int list() {
  std::vector<std::vector<std::string>> rows = {{"benchmark", "measures"}};
  for (const Benchmark& benchmark : kBenchmarks) {
    rows.push_back({std::string(benchmark.name), std::string(benchmark.measures)});
  }
  cli::print_table(rows);
  return 0;
}

Result<int> run(const Benchmark& benchmark, const Options& options, bool json) {
  DW_TRY_ASSIGN(Report report, benchmark.run(options));
  report.add_fact("short", options.short_run);
  if (json) {
    cli::print_json(report.to_json());
  } else {
    report.print();
  }
  if (std::fflush(stdout) != 0) return fail(ErrorCode::unavailable, "The report could not be written to its end.");
  return 0;
}

int run_program(int argc, char** argv) {
  CLI::App app("Measures Driftwood, beside its peers from the same run.", "driftwood-bench");
  std::string name;
  bool json = false;
  bool only_list = false;
  Options options;
  app.add_option("NAME", name, "Which benchmark; without it, they are listed");
  app.add_flag("--json", json, "Print one JSON object");
  app.add_flag("--short", options.short_run, "Fewer rounds and lengths: seconds instead of minutes");
  app.add_option("--model", options.model, "A model's name or GGUF file (default: SmolLM2)");
  app.add_option("--device", options.device, "Where chain, coldstart (default: cpu) and gpu (default: cuda) compute");
  app.add_option("--threads", options.threads, "Host threads that compute (0: one for each core)")
      ->check(CLI::Range(0, 512));
  app.add_flag("--list", only_list, "List the benchmarks");
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& success) {
    return app.exit(success);
  } catch (const CLI::ParseError& error) {
    cli::print_note(std::string(error.what()) + " See --help.");
    return kUsageError;
  }
  if (only_list || name.empty()) return list();
  const auto* found = std::ranges::find(kBenchmarks, name, &Benchmark::name);
  if (found == std::end(kBenchmarks)) {
    cli::print_note(fmt::format("There is no benchmark \"{}\"; --list tells which there are.", name));
    return kUsageError;
  }
  if (!found->any_device && !options.device.empty() && options.device != "cpu") {
    cli::print_note(
        fmt::format("The benchmark \"{}\" compares with libllama on the CPU and takes no other --device "
                    "(\"{}\"); chain, coldstart and gpu do.",
                    name, options.device));
    return kUsageError;
  }
  const Result<int> status = run(*found, options, json);
  if (status) return *status;
  cli::print_error(status.error(), json);
  return exit_status(status.error().code);
}

}  // namespace

void say(std::string_view what) { fmt::print(stderr, "{}\n", what); }

}  // namespace driftwood::bench

int main(int argc, char** argv) { return driftwood::bench::run_program(argc, argv); }
