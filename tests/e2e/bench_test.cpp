// The benchmark program: its fields and its errors, never its times.
#include "e2e/cli.hpp"
#include "tools/random_model.hpp"

namespace driftwood::testing {
namespace {

using nlohmann::json;

class Bench : public CliTest {
 protected:
  Outcome bench(std::vector<std::string> arguments) const {
    arguments.insert(arguments.begin(), DRIFTWOOD_BENCH);
    Environment environment = CliTest::environment();
    environment.emplace_back("DRIFTWOOD_CACHE", cache().string());
    return run({.arguments = std::move(arguments), .environment = environment, .input = {}});
  }
  std::filesystem::path cache() const { return folder() / "cache"; }
  /// How many models' packed weights lie where the program would look for them.
  std::size_t packed_models() const {
    std::error_code none;
    return static_cast<std::size_t>(
        std::ranges::distance(std::filesystem::directory_iterator(cache() / "packed", none)));
  }
  std::string random_model(std::uint32_t n_ctx) const {
    const auto model = folder() / "random.gguf";
    const auto written = write_random_model({.n_embd = 128, .n_ctx = n_ctx, .type = GGML_TYPE_Q8_0}, model);
    EXPECT_TRUE(written.has_value()) << written.error().to_string();
    return model.string();
  }

  /// The report of a run that has to succeed; each of `figures` is there, with its details.
  json report_of(const std::vector<std::string>& arguments, const std::vector<std::string>& figures) const {
    const Outcome outcome = bench(arguments);
    EXPECT_EQ(outcome.status, 0) << outcome.err;
    json report = json::parse(outcome.out, nullptr, false);
    if (!report.is_object()) {
      ADD_FAILURE() << outcome.out;
      return json::object();
    }
    EXPECT_EQ(report["bench"], arguments[0]);
    EXPECT_EQ(report["short"], true);
    for (const char* fact : {"processor", "cores", "cpu_features", "memory_bytes", "page_size", "load", "versions"}) {
      EXPECT_TRUE(report["machine"].contains(fact)) << fact;
    }
    for (const std::string& figure : figures) {
      EXPECT_TRUE(report[figure].is_number()) << figure;
      const json& details = report["details"][figure];
      EXPECT_EQ(details["median"], report[figure]) << figure;
      EXPECT_LE(details["min"], details["median"]) << figure;
      EXPECT_LE(details["median"], details["p95"]) << figure;
      EXPECT_LE(details["q25"], details["q75"]) << figure;
      EXPECT_GE(details["runs"], 1) << figure;
      EXPECT_TRUE(details["better"] == "less" || details["better"] == "more") << figure;
      const std::string goal = details.value("goal", details["better"] == "less" ? "<= 0" : ">= 0");
      EXPECT_EQ(goal.substr(0, 2), details["better"] == "less" ? "<=" : ">=") << figure;
      EXPECT_FALSE(details["counts"].get<std::string>().empty()) << figure;
    }
    return report;
  }
};

TEST_F(Bench, ChainReportsItsFields) {
  const json report = report_of({"chain", "--short", "--json"}, {"rss_delta_mb", "rss_copy_mb", "host_call_ns",
                                                                 "gemm_ratio", "gemm_guest_us", "gemm_native_us"});
  EXPECT_GT(report["host_call_ns"], 0);
  EXPECT_GT(report["rss_copy_mb"], 16);
  EXPECT_LT(report["rss_delta_mb"], report["rss_copy_mb"]);
  EXPECT_EQ(report["bytes_copied"], 0);
}

TEST_F(Bench, ColdstartReportsItsFields) {
  const json report =
      report_of({"coldstart", "--short", "--json"}, {"start_ms", "start_uncached_ms", "spawn_us", "spawn_chat_us"});
  EXPECT_GT(report["start_ms"], 0);
  EXPECT_GE(report["details"]["spawn_us"]["runs"], 200);
}

TEST_F(Bench, ForwardComparesWithLibllamaOverAnyModel) {
  const json report =
      report_of({"forward", "--short", "--json", "--threads", "1", "--model", random_model(1024)},
                {"prefill_ratio_24_q8_0", "decode_ratio_24_q8_0", "prefill_ratio_512_q8_0", "decode_ratio_512_q8_0",
                 "strict_prefill_ratio_512_q8_0", "strict_decode_ratio_24_q8_0"});
  EXPECT_EQ(report["threads"], 1);
  EXPECT_EQ(report["details"]["prefill_ratio_512_q8_0"]["better"], "more");
  EXPECT_EQ(report["details"]["strict_prefill_ratio_512_q8_0"]["better"], "less");
  const json& speed = report["tokens_per_s"]["decode_512_q8_0"];
  const std::string counted = speed["counted"];
  EXPECT_EQ(speed[counted], std::max(speed["libllama_flash_on"], speed["libllama_flash_off"]));
  EXPECT_EQ(packed_models(), 1);
}

TEST_F(Bench, LimitsReportsItsFieldsOverAnyModel) {
  const json report = report_of({"limits", "--short", "--json", "--threads", "2", "--model", random_model(1024)},
                                {"read_gb_s", "read_small_pages_gb_s", "f32_gflop_s", "int8_gop_s",
                                 "prefill_of_f32_peak_512", "prefill_of_int8_peak_512", "decode_ms_24", "decode_ms_512",
                                 "decode_of_memory_limit_24", "decode_of_memory_limit_512"});
  EXPECT_EQ(report["details"]["decode_of_memory_limit_24"]["better"], "more");
  // The same prefills against both.
  const double f32 = report["prefill_of_f32_peak_512"].get<double>() * report["f32_gflop_s"].get<double>();
  const double int8 = report["prefill_of_int8_peak_512"].get<double>() * report["int8_gop_s"].get<double>();
  EXPECT_NEAR(int8 / f32, 1, 0.001);
}

TEST_F(Bench, SnapshotReportsItsFieldsOverAnyModel) {
  const json report =
      report_of({"snapshot", "--short", "--json", "--threads", "1", "--model", random_model(2048)},
                {"freeze_us_512", "first_freeze_us_512", "first_freeze_vs_state_save_512",
                 "first_freeze_vs_state_get_512", "thaw_us_24", "thaw_us_512", "thaw_ratio_512", "thaw_vs_prefill_512",
                 "save_bytes_ratio", "save_time_ratio", "save_us", "load_thaw_us_512", "thaw_token_vs_state_load_512",
                 "thaw_token_us_512", "thaw_alone_vs_prefill_512"});
  // Goals are for longer contexts, but not what is better.
  for (const char* less : {"first_freeze_vs_state_save_512", "first_freeze_vs_state_get_512", "thaw_ratio_512",
                           "save_bytes_ratio", "save_time_ratio"}) {
    EXPECT_EQ(report["details"][less]["better"], "less") << less;
    EXPECT_FALSE(report["details"][less].contains("goal")) << less;
  }
  EXPECT_EQ(report["details"]["thaw_vs_prefill_512"]["better"], "more");
}

TEST_F(Bench, ForkReportsItsFieldsOverAnyModel) {
  const json report = report_of({"fork", "--short", "--json", "--threads", "1", "--model", random_model(2048)},
                                {"fork_us", "fork_private_kb", "first_token_kb", "first_token_kv_kb", "list_200_ms"});
  EXPECT_EQ(report["alive"], 100);
  EXPECT_GE(report["details"]["fork_private_kb"]["runs"], 5);
}

TEST_F(Bench, WorkerReportsItsFieldsOverAnyModel) {
#if !defined(__linux__)
  GTEST_SKIP() << "Devices compute in processes of their own on Linux alone.";
#endif
  const json report = report_of({"worker", "--short", "--json", "--threads", "1", "--model", random_model(4352)},
                                {"boundary_us", "cpu_added_us_24", "cpu_ratio_24", "cpu_own_ratio_24",
                                 "cpu_added_us_4096", "cpu_ratio_4096", "cpu_own_ratio_4096"});
  EXPECT_EQ(report["details"]["cpu_own_ratio_24"]["better"], "less");
}

TEST_F(Bench, ManyReportsItsFieldsOverAnyModel) {
  const json report = report_of(
      {"many", "--short", "--json", "--threads", "1", "--model", random_model(4096)},
      {"batch32_ratio", "fork64_ratio", "p99_ratio", "p50_ratio", "beside_prompt_tokens_per_s", "overhead_us_p50",
       "overhead_us_p99", "wake_ratio", "wake_frozen_us", "wake_awake_us", "live_private_mb"});
  for (const char* name : {"batch32", "fork64"}) {
    const json& speed = report["tokens_per_s"][name];
    const std::string counted = speed["counted"];
    EXPECT_EQ(speed[counted], std::max(speed["libllama_flash_on"], speed["libllama_flash_off"])) << name;
    EXPECT_GT(speed["driftwood"], 0) << name;
    EXPECT_TRUE(report["passes_by_sequences"][name].is_array()) << name;
  }
  EXPECT_GE(report["details"]["live_private_mb"]["runs"], 5);
  EXPECT_EQ(packed_models(), 1);
}

TEST_F(Bench, TableNamesEachFigure) {
  const Outcome outcome = bench({"chain", "--short"});
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  for (const char* part : {"rss_delta_mb", "host_call_ns", "gemm_ratio", "<= 1.02"}) {
    EXPECT_NE(outcome.out.find(part), std::string::npos) << part << " in " << outcome.out;
  }
}

TEST_F(Bench, WithoutANameTheyAreListed) {
  const Outcome outcome = bench({});
  EXPECT_EQ(outcome.status, 0);
  for (const char* name : {"chain", "forward", "coldstart"}) {
    EXPECT_NE(outcome.out.find(name), std::string::npos) << name;
  }
}

TEST_F(Bench, WrongRequestsAreSentences) {
  expect_sentence(bench({"dance"}), kUsage, "dance");
  expect_sentence(bench({"chain", "--nope"}), kUsage, "--nope");
  expect_sentence(bench({"forward", "--short", "--model", (folder() / "none.gguf").string()}), kNotFound, "none.gguf");
}

}  // namespace
}  // namespace driftwood::testing
