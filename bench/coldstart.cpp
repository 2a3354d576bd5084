// Cold start: from starting a process to the guest's first instruction, and one more actor in a process that runs.

#include <fmt/format.h>

#include <charconv>
#include <fstream>
#include <string_view>
#include <system_error>

#include "actor/actor.hpp"
#include "apps/driftwood/paths.hpp"
#include "apps/driftwood/process.hpp"
#include "benchmark.hpp"
#include "core/clock.hpp"
#include "guests.hpp"
#include "scratch_folder.hpp"

namespace driftwood::bench {
namespace {

namespace fs = std::filesystem;

constexpr int kWarmUp = 2;

/// The driftwood program beside this one, or in its place in a build tree.
Result<fs::path> find_driftwood() {
  DW_TRY_ASSIGN(const fs::path self, cli::executable_path());
  const fs::path folder = self.parent_path();
  for (const auto& candidate : {folder / "driftwood", folder / ".." / "apps" / "driftwood" / "driftwood"}) {
    std::error_code error;
    if (fs::is_regular_file(candidate, error)) return candidate.lexically_normal();
  }
  return fail(ErrorCode::not_found, "There is no program driftwood beside \"" + self.string() + "\"; build it too.");
}

/// Milliseconds from asking the system for a process that runs `guest` to the guest's first instruction, by its own
/// reading of the monotonic clock, which both processes share.
Result<double> time_start(const fs::path& driftwood, const fs::path& guest, const fs::path& cache) {
  const std::int64_t asked_ns = monotonic_ns();
  DW_TRY_ASSIGN(const cli::ProcessResult result,
                cli::run_process({.arguments = {driftwood.string(), "run", guest.string()},
                                  .environment = {{"DRIFTWOOD_CACHE", cache.string()}},
                                  .tick = {}}));
  const std::int64_t ended_ns = monotonic_ns();
  std::int64_t started_ns = 0;
  const auto [end, error] =
      std::from_chars(result.output.data(), result.output.data() + result.output.size(), started_ns);
  if (result.status != 0 || error != std::errc() || started_ns <= asked_ns || started_ns >= ended_ns) {
    return fail(ErrorCode::internal,
                fmt::format("\"driftwood run\" ended with status {} and said: {}", result.status, result.output));
  }
  return static_cast<double>(started_ns - asked_ns) / 1e6;
}

Result<void> measure_starts(bool short_run, Report& report) {
  DW_TRY_ASSIGN(const fs::path driftwood, find_driftwood());
  DW_TRY_ASSIGN(const auto folder, ScratchFolder::create());
  const fs::path guest = folder->path() / "start.wasm";
  const fs::path cache = folder->path() / "cache";
  const auto module = start_guest();
  std::ofstream file(guest, std::ios::binary);
  file.write(reinterpret_cast<const char*>(module.data()), static_cast<std::streamsize>(module.size()));
  file.close();
  if (!file) return fail(ErrorCode::unavailable, "The guest could not be written to \"" + guest.string() + "\".");

  std::vector<double> empty_ms;
  for (int round = -kWarmUp; round < (short_run ? 5 : 25); ++round) {
    std::error_code ignored;
    fs::remove_all(cache, ignored);
    DW_TRY_ASSIGN(const double ms, time_start(driftwood, guest, cache));
    if (round >= 0) empty_ms.push_back(ms);
  }
  std::vector<double> cached_ms;
  for (int round = -kWarmUp; round < (short_run ? 15 : 101); ++round) {
    DW_TRY_ASSIGN(const double ms, time_start(driftwood, guest, cache));
    if (round >= 0) cached_ms.push_back(ms);
  }
  report.add({.name = "start_ms",
              .unit = "ms",
              .better = Better::less,
              .counts = "from before the fork and exec of `driftwood run` to the first instruction of a small guest, "
                        "its module in the cache, files in the page cache",
              .summary = summarize(std::move(cached_ms)),
              .goal = {}});
  report.add({.name = "start_uncached_ms",
              .unit = "ms",
              .better = Better::less,
              .counts = "likewise with an empty module cache: the guest (15 kB) is compiled",
              .summary = summarize(std::move(empty_ms)),
              .goal = {}});
  return {};
}

Result<void> check_answers(Actor& actor) {
  DW_TRY_ASSIGN(const std::string answer, actor.send("ping"));
  constexpr std::string_view kExpected = "pong";
  if (answer == kExpected) return {};
  return fail(ErrorCode::internal, "A spawned actor answered \"" + answer + "\" instead of \"pong\".");
}

/// Microseconds of each spawn; all actors stay alive until the last.
Result<std::vector<double>> time_spawns(Engine& engine, Device& device, std::span<const std::byte> module, int count,
                                        Result<void> (*check)(Actor&)) {
  DW_TRY_ASSIGN(const auto program, Program::compile(engine, module));
  std::vector<std::unique_ptr<Actor>> actors;
  std::vector<double> us;
  for (int i = -kWarmUp; i < count; ++i) {
    ActorOptions options;
    options.host.device = &device;
    const Stopwatch watch;
    DW_TRY_ASSIGN(auto actor, Actor::spawn(program, std::move(options)));
    if (i >= 0) us.push_back(watch.elapsed_us());
    actors.push_back(std::move(actor));
  }
  for (const auto& actor : actors) {
    if (actor->state() != ActorState::at_rest) return fail(ErrorCode::internal, "A spawned actor is not at rest.");
    if (check != nullptr) DW_TRY(check(*actor));
  }
  return us;
}

Result<void> measure_spawns(const Options& options, Report& report) {
  DW_TRY_ASSIGN(const auto engine, Engine::create());
  DW_TRY_ASSIGN(const auto device,
                open_device(options.device.empty() ? "cpu" : options.device, {.threads = options.threads}));
  const int count = options.short_run ? 200 : 1000;
  DW_TRY_ASSIGN(auto small, time_spawns(*engine, *device, pong_guest(), count, check_answers));
  DW_TRY_ASSIGN(auto chat, time_spawns(*engine, *device, chat_guest(), count, nullptr));
  report.add({.name = "spawn_us",
              .unit = "us",
              .better = Better::less,
              .counts = "one more actor of a small program (it answers each message): memory, data, initializer, ready "
                        "for a message; those before it stay alive",
              .summary = summarize(std::move(small)),
              .goal = {}});
  report.add({.name = "spawn_chat_us",
              .unit = "us",
              .better = Better::less,
              .counts = "likewise of the chat actor, no model opened yet",
              .summary = summarize(std::move(chat)),
              .goal = {}});
  return {};
}

}  // namespace

Result<Report> run_coldstart(const Options& options) {
  Report report("coldstart");
  say("coldstart: processes");
  DW_TRY(measure_starts(options.short_run, report));
  say("coldstart: actors");
  DW_TRY(measure_spawns(options, report));
  return report;
}

}  // namespace driftwood::bench
