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
    return run({.arguments = std::move(arguments), .environment = environment(), .input = {}});
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
  const auto model = folder() / "random.gguf";
  const auto written = write_random_model({.n_embd = 128, .n_ctx = 1024, .type = GGML_TYPE_Q8_0}, model);
  ASSERT_TRUE(written.has_value()) << written.error().to_string();
  const json report =
      report_of({"forward", "--short", "--json", "--threads", "1", "--model", model.string()},
                {"prefill_ratio_24_q8_0", "decode_ratio_24_q8_0", "prefill_ratio_512_q8_0", "decode_ratio_512_q8_0",
                 "strict_prefill_ratio_512_q8_0", "strict_decode_ratio_24_q8_0"});
  EXPECT_EQ(report["threads"], 1);
  EXPECT_EQ(report["details"]["prefill_ratio_512_q8_0"]["better"], "more");
  EXPECT_EQ(report["details"]["strict_prefill_ratio_512_q8_0"]["better"], "less");
  const json& speed = report["tokens_per_s"]["decode_512_q8_0"];
  const std::string counted = speed["counted"];
  EXPECT_EQ(speed[counted], std::max(speed["libllama_flash_on"], speed["libllama_flash_off"]));
}

TEST_F(Bench, ManyReportsItsFieldsOverAnyModel) {
  const auto model = folder() / "random.gguf";
  const auto written = write_random_model({.n_embd = 128, .n_ctx = 4096, .type = GGML_TYPE_Q8_0}, model);
  ASSERT_TRUE(written.has_value()) << written.error().to_string();
  report_of({"many", "--short", "--json", "--threads", "2", "--model", model.string()},
            {"batch32_ratio", "fork64_ratio", "p99_ratio", "overhead_us_p50", "overhead_us_p99", "wake_ratio",
             "live_private_mb"});
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
