// The forward pass through the guest ABI, against libllama in the same run.

#include "forward.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <thread>

#include "benchmark.hpp"
#include "core/cache_folder.hpp"
#include "input.hpp"
#include "model/model.hpp"
#include "requantize.hpp"
#include "scratch_folder.hpp"

namespace driftwood::bench {
namespace {

constexpr std::uint32_t kGreedyPrompt = 24;
constexpr std::uint32_t kGreedyTokens = 256;
constexpr std::uint32_t kMostDecoded = 32;

struct Length {
  std::uint32_t n;
  ForwardRounds rounds;
};

std::vector<Length> lengths(bool short_run) {
  if (short_run) {
    return {{24,
             {.prefill = {.warm_up = 1, .at_most = 3, .at_least = 1, .seconds = 5},
              .decode = {.warm_up = 1, .at_most = 3, .at_least = 1, .seconds = 5},
              .decode_tokens = 8}},
            {512,
             {.prefill = {.warm_up = 0, .at_most = 2, .at_least = 1, .seconds = 10},
              .decode = {.warm_up = 1, .at_most = 3, .at_least = 1, .seconds = 10},
              .decode_tokens = 8}}};
  }
  return {{24,
           {.prefill = {.warm_up = 2, .at_most = 25, .at_least = 5, .seconds = 60},
            .decode = {.warm_up = 1, .at_most = 25, .at_least = 5, .seconds = 60},
            .decode_tokens = kMostDecoded}},
          {512,
           {.prefill = {.warm_up = 1, .at_most = 9, .at_least = 5, .seconds = 90},
            .decode = {.warm_up = 1, .at_most = 15, .at_least = 5, .seconds = 60},
            .decode_tokens = kMostDecoded}},
          {4096,
           {.prefill = {.warm_up = 0, .at_most = 5, .at_least = 2, .seconds = 300},
            .decode = {.warm_up = 1, .at_most = 9, .at_least = 3, .seconds = 90},
            .decode_tokens = kMostDecoded}}};
}

/// For a look at each further type.
std::vector<Length> few_rounds() {
  std::vector<Length> measured = lengths(false);
  for (auto& [n, rounds] : measured) {
    rounds.prefill.at_most = std::min(rounds.prefill.at_most, n >= 4096 ? 1 : 7);
    rounds.prefill.at_least = 1;
    rounds.decode.at_most = std::min(rounds.decode.at_most, 7);
  }
  return measured;
}

/// Nothing for the default model's type, else "_q8_0" and the like.
std::string suffix_of(const ModelSummary& summary) {
  if (summary.file_type == "Q4_1") return {};
  std::string suffix = "_" + summary.file_type;
  std::ranges::transform(suffix, suffix.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return suffix;
}

std::vector<double> tokens_per_second(std::vector<double> ms, double tokens) {
  for (double& value : ms) value = tokens * 1e3 / value;
  return ms;
}

/// The least ratio that counts as reached: more for the default model, whose type and lengths the kernels were made
/// for.
double goal_of(bool prefill, std::uint32_t n, bool default_type) {
  if (!default_type) return prefill ? 1.2 : n >= 4096 ? 2.0 : 1.1;
  if (prefill) return n >= 4096 ? 2.5 : n >= 512 ? 2.0 : 1.0;
  return n >= 4096 ? 2.5 : n >= 512 ? 1.6 : 1.3;
}

/// What the three figures of one phase at one length need.
struct Phase {
  std::string name;         ///< "prefill"
  std::string description;  ///< what a measurement is
  std::string suffix;       ///< "_512"
  double tokens = 1;        ///< that a measurement counts
  double goal = 1;          ///< of the ratio
};

/// Adds the ratio to the faster of the peers, and both sides' speed.
void add_phase(const Phase& phase, std::span<const std::unique_ptr<Contender>> contenders,
               const std::vector<std::vector<double>>& ms, Report& report, cli::Json& speeds) {
  const auto median = [&](std::size_t i) { return summarize(ms[i]).median; };
  std::size_t peer = 1;
  for (std::size_t i = 2; i < contenders.size(); ++i) {
    if (median(i) < median(peer)) peer = i;
  }
  cli::Json& speed = speeds[phase.name + phase.suffix];
  for (std::size_t i = 0; i < contenders.size(); ++i) {
    speed[contenders[i]->name()] = summarize(tokens_per_second(ms[i], phase.tokens)).median;
  }
  speed["counted"] = contenders[peer]->name();
  report.add({.name = phase.name + "_ratio" + phase.suffix,
              .unit = "ratio",
              .better = Better::more,
              .counts = fmt::format("time of {} / time of Driftwood through a guest, each measurement against its "
                                    "neighbour: {}, with the last token's logits",
                                    contenders[peer]->name(), phase.description),
              .summary = summarize(pair_ratios(ms[peer], ms[0])),
              .goal = phase.goal});
  report.add({.name = phase.name + "_tokens_per_s" + phase.suffix,
              .unit = "tokens/s",
              .better = Better::more,
              .counts = "Driftwood's speed in the same",
              .summary = summarize(tokens_per_second(ms[0], phase.tokens)),
              .goal = {}});
}

/// Adds what strict results cost: this side's times with them, over those without.
Result<void> measure_strict(ForwardSetup setup, const ForwardRounds& prompt, const ForwardRounds& tokens,
                            const std::string& suffix, Report& report) {
  std::vector<std::unique_ptr<Contender>> sides(2);
  DW_TRY_ASSIGN(sides[0], make_driftwood(setup));
  setup.strict = true;
  DW_TRY_ASSIGN(sides[1], make_driftwood(setup));
  const auto add = [&](const std::string& name, const char* what, const std::vector<std::vector<double>>& ms) {
    report.add({.name = name + suffix,
                .unit = "ratio",
                .better = Better::less,
                .counts = fmt::format("time of {} with strict results / without", what),
                .summary = summarize(pair_ratios(ms[1], ms[0])),
                .goal = {}});
  };
  DW_TRY_ASSIGN(const ForwardTimes longer, measure_forward(sides, 512, prompt));
  add("strict_prefill_ratio_512", "a prefill of 512 tokens", longer.prefill_ms);
  DW_TRY_ASSIGN(const ForwardTimes shorter, measure_forward(sides, 24, tokens));
  add("strict_decode_ratio_24", "a token after 24", shorter.decode_ms);
  return {};
}

/// Adds the figures of one file.
Result<void> measure_model(const std::filesystem::path& path, const std::filesystem::path& packed_cache, int threads,
                           const std::vector<Length>& measured, Report& report, cli::Json& speeds, cli::Json& greedy) {
  DW_TRY_ASSIGN(const ModelSummary summary, Model::summarize(path));
  // Each side has room for the longest slice, in libllama's unit of 256.
  ForwardSetup setup{
      .model = path, .threads = threads, .n_ctx = measured.back().n + 256, .packed_cache = packed_cache, .tokens = {}};
  DW_TRY_ASSIGN(setup.tokens, text_tokens(path, measured.back().n + kMostDecoded));

  say("forward: loading " + path.filename().string());
  std::vector<std::unique_ptr<Contender>> contenders(1);
  DW_TRY_ASSIGN(contenders[0], make_driftwood(setup));
  DW_TRY_ASSIGN(auto peers, make_libllama(setup));
  std::ranges::move(peers, std::back_inserter(contenders));
  DW_TRY_ASSIGN(const Agreement agreement, check_greedy(contenders, kGreedyPrompt, kGreedyTokens));
  greedy[summary.file_type] = {{"tokens", agreement.tokens},
                               {"same", agreement.same},
                               {"libllama_attentions_same", agreement.others_same},
                               {"largest_gap", agreement.largest_gap}};

  const std::string suffix = suffix_of(summary);
  DW_TRY(measure_strict(setup, measured[1].rounds, measured[0].rounds, suffix, report));
  for (const auto& [n, rounds] : measured) {
    DW_TRY_ASSIGN(const ForwardTimes times, measure_forward(contenders, n, rounds));
    const std::string at = fmt::format("_{}{}", n, suffix);
    add_phase({.name = "prefill",
               .description = fmt::format("{} tokens into an empty context", n),
               .suffix = at,
               .tokens = static_cast<double>(n),
               .goal = goal_of(true, n, suffix.empty())},
              contenders, times.prefill_ms, report, speeds);
    add_phase({.name = "decode",
               .description = fmt::format("a token after {}, mean of {} one by one", n, rounds.decode_tokens),
               .suffix = at,
               .goal = goal_of(false, n, suffix.empty())},
              contenders, times.decode_ms, report, speeds);
  }
  return {};
}

/// The default model, requantized. libllama's words of it are not ours to print.
Result<void> measure_other_types(const std::filesystem::path& path, int threads, Report& report, cli::Json& speeds,
                                 cli::Json& greedy) {
  // Beside the users' caches, so that the packed weights lie in the same file system as theirs.
  DW_TRY_ASSIGN(const auto folder, ScratchFolder::create(cache_folder("bench").value_or("")));
  for (const std::string_view type : requantized_types()) {
    say(fmt::format("forward: making a {} file", type));
    DW_TRY_ASSIGN(const auto file, requantize(path, type, folder->path()));
    DW_TRY(measure_model(file, folder->path() / "packed", threads, few_rounds(), report, speeds, greedy));
    std::error_code ignored;
    std::filesystem::remove(file, ignored);
    std::filesystem::remove_all(folder->path() / "packed", ignored);
  }
  return {};
}

}  // namespace

Result<Report> run_forward(const Options& options) {
  DW_TRY_ASSIGN(const auto path, find_model(options.model));
  int threads = options.threads;
  if (threads == 0) {
    DW_TRY_ASSIGN(const auto device, open_device("cpu"));
    threads = device->info().threads;
  }
  Report report("forward");
  DW_TRY_ASSIGN(const ModelSummary summary, Model::summarize(path));
  report.add_fact("model", {{"file", path.filename().string()}, {"type", summary.file_type}});
  report.add_fact("threads", threads);
  cli::Json speeds = cli::Json::object();
  cli::Json greedy = cli::Json::object();
  DW_TRY(measure_model(path, packed_weights_folder(), threads, lengths(options.short_run), report, speeds, greedy));
  if (!options.short_run && options.model.empty()) {
    DW_TRY(measure_other_types(path, threads, report, speeds, greedy));
  }
  report.add_fact("greedy", std::move(greedy));
  report.add_fact("tokens_per_s", std::move(speeds));
  return report;
}

}  // namespace driftwood::bench
