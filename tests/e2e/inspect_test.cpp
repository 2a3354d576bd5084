// driftwood inspect: what it tells of a snapshot, and its drawing.
#include "e2e/cli.hpp"

namespace driftwood::testing {
namespace {

using nlohmann::json;

class Inspect : public CliTest {
 protected:
  json inspect(const std::string& snapshot) const {
    const Outcome outcome = cli({"inspect", snapshot, "--json"});
    EXPECT_EQ(outcome.status, 0) << outcome.err;
    return json::parse(outcome.out);
  }
};

// Colours of the drawing's cells.
constexpr const char* kOwn = "#0f766e";
constexpr const char* kShared = "#7dc4bb";
constexpr const char* kZero = "#eceff1";

std::size_t count(const std::string& text, const std::string& part) {
  std::size_t times = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++times;
  return times;
}

TEST_F(Inspect, CountsEveryChunkOnceAndKnowsTheParent) {
  ASSERT_EQ(cli({"freeze", DRIFTWOOD_ACTOR_PROBE, "--message", "count", "--label", "one"}).status, 0);
  ASSERT_EQ(cli({"thaw", "one", "--message", "count", "--save", "two"}).status, 0);
  const json one = inspect("one");
  const json two = inspect("two");
  EXPECT_EQ(one["parent"], nullptr);
  EXPECT_FALSE(one["compared_with_parent"].get<bool>());
  EXPECT_EQ(one["chunks"]["shared"], 0);
  EXPECT_EQ(two["parent"], one["id"]);
  EXPECT_EQ(two["lineage"], json::array({one["id"]}));
  EXPECT_TRUE(two["compared_with_parent"].get<bool>());
  const json& chunks = two["chunks"];
  EXPECT_GT(chunks["own"], 0);  // the counter changed
  EXPECT_EQ(chunks["own"].get<int>() + chunks["shared"].get<int>() + chunks["zero"].get<int>(), chunks["all"]);
  EXPECT_EQ(chunks["all"].get<std::uint64_t>() * 65536, two["memory_bytes"]);
  EXPECT_GE(two["globals"].size(), 1u);
  EXPECT_EQ(two["globals"][0]["type"], "i32");
}

TEST_F(Inspect, ReadsExportedFilesToo) {
  ASSERT_EQ(cli({"freeze", DRIFTWOOD_ACTOR_PROBE, "--message", "count", "--label", "one"}).status, 0);
  const auto path = (folder() / "one.dwsnap").string();
  ASSERT_EQ(cli({"snapshots", "export", "one", path, "--zstd"}).status, 0);
  EXPECT_EQ(inspect(path)["id"], inspect("one")["id"]);
  std::string bytes = content_of(path);
  bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 1);
  expect_sentence(cli({"inspect", file("damaged", bytes)}), kCorrupt, "damaged");
  expect_sentence(cli({"inspect", "nobody"}), kNotFound, "nobody");
}

TEST_F(Inspect, DeterminismIsPartOfTheSnapshot) {
  ASSERT_EQ(cli({"freeze", DRIFTWOOD_ACTOR_PROBE, "--deterministic=5", "--message", "random", "--label", "one"}).status,
            0);
  const json determinism = inspect("one")["determinism"];
  EXPECT_EQ(determinism["seed"], 5);
  EXPECT_GT(determinism["random_position"], 0);
}

TEST_F(Inspect, MemoryFullOfContextsIsToldInPart) {
  // In each page of 4 KiB the header of a Context with 512 tokens in 2 MiB.
  const std::string wasm = file("contexts.wat", R"((module
    (import "driftwood" "reply" (func $reply (param i32 i32) (result i32)))
    (memory (export "memory") 64)
    (data (i32.const 16) "DWCX\01\00\00\00")
    (data (i32.const 56) "\00\02\00\00\00\02\00\00\01\00\00\00\01\00\00\00\00\08\00\00\00\10\00\00\50")
    (func (export "driftwood_receive") (result i32)
      (local $at i32)
      (loop $next
        (local.set $at (i32.add (local.get $at) (i32.const 4096)))
        (memory.copy (local.get $at) (i32.const 16) (i32.const 128))
        (br_if $next (i32.lt_u (local.get $at) (i32.const 4182016))))
      (call $reply (i32.const 0) (i32.const 0)))))");
  ASSERT_EQ(cli({"freeze", wasm, "--message", "fill", "--label", "full"}).status, 0);
  const auto svg = folder() / "map.svg";
  const Outcome outcome = cli({"inspect", "full", "--svg", svg.string(), "--json"});
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  const json told = json::parse(outcome.out);
  EXPECT_EQ(told["contexts"].size(), 256u);
  EXPECT_NE(told["notes"].dump().find("the first 256 Contexts"), std::string::npos) << told["notes"];
  EXPECT_LT(std::filesystem::file_size(svg), 256u << 10);
}

using InspectChat = CliModelTest;

TEST_F(InspectChat, TellsContextsAndWhatWasSaid) {
  ASSERT_EQ(cli({"freeze", "-m", model_, "--threads", "1", "--ctx", "256", "--temperature", "0", "--max-tokens", "4",
                 "--say", "My name is Ada.", "--label", "talk"})
                .status,
            0);
  const auto svg = folder() / "map.svg";
  const Outcome outcome = cli({"inspect", "talk", "-m", model_, "--svg", svg.string(), "--json"});
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  const json told = json::parse(outcome.out);
  ASSERT_EQ(told["contexts"].size(), 1u);
  EXPECT_TRUE(told["contexts"][0]["checked"].get<bool>());
  EXPECT_EQ(told["contexts"][0]["n_ctx"], 256);
  EXPECT_GT(told["contexts"][0]["n_tokens"], 5);
  EXPECT_EQ(told["models"][0]["sha256"].get<std::string>().size(), 64u);
  ASSERT_EQ(told["transcript"].size(), 2u);
  EXPECT_EQ(told["transcript"][0], (json{{"role", "user"}, {"text", "My name is Ada."}}));
  EXPECT_EQ(told["transcript"][1]["role"], "assistant");
  EXPECT_EQ(told["notes"].size(), 0u);
  const std::string drawing = content_of(svg);
  EXPECT_TRUE(drawing.starts_with("<svg ") && drawing.ends_with("</svg>\n"));
  EXPECT_NE(drawing.find("of 256 tokens"), std::string::npos);
  EXPECT_EQ(drawing.find(kShared, drawing.find("</style>")), drawing.rfind(kShared)) << "in the legend alone";

  ASSERT_EQ(cli({"thaw", "talk", "-m", model_, "--threads", "1", "--say", "And mine?", "--save", "more"}).status, 0);
  const Outcome child = cli({"inspect", "more", "-m", model_, "--svg", svg.string(), "--json"});
  ASSERT_EQ(child.status, 0) << child.err;
  const json chunks = json::parse(child.out)["chunks"];
  EXPECT_GT(chunks["shared"], 0);
  EXPECT_GT(chunks["own"], 0);
  // One cell for each chunk, as many of each kind as there are; one more of each in the legend.
  const std::string map = content_of(svg);
  for (const auto& [kind, fill] : {std::pair("own", kOwn), {"shared", kShared}, {"zero", kZero}}) {
    EXPECT_EQ(count(map, "rx=\"2\" fill=\"" + std::string(fill)), chunks[kind]) << kind;
  }
  EXPECT_EQ(count(map, "<path "), 1u) << "a frame around the Context";
  EXPECT_GT(count(map, "<circle "), 0u) << "its rows";
}

TEST_F(InspectChat, WithoutTheModelItTellsTheRest) {
  ASSERT_EQ(cli({"freeze", "-m", model_, "--ctx", "64", "--label", "talk"}).status, 0);
  const Outcome outcome = cli({"inspect", "talk", "--json"});
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  const json told = json::parse(outcome.out);
  ASSERT_EQ(told["contexts"].size(), 1u);
  EXPECT_FALSE(told["contexts"][0]["checked"].get<bool>());
  EXPECT_GT(told["notes"].size(), 0u);
}

}  // namespace
}  // namespace driftwood::testing
