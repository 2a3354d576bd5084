// driftwood chat, from a pipe: answers, their proof, and what can be wrong.
#include "e2e/cli.hpp"
#include "support/llama_greedy.hpp"
#include "tools/random_model.hpp"

namespace driftwood::testing {
namespace {

using nlohmann::json;
constexpr const char* kPrompt = "What is the capital of France?";

/// The last number in a line that stands behind `label`.
std::string value_after(const std::string& text, const std::string& label) {
  const std::size_t at = text.find(label);
  if (at == std::string::npos) return {};
  const std::size_t start = at + label.size();
  return text.substr(start, text.find_first_of(" ,;\n", start) - start);
}

class Chat : public CliModelTest {
 protected:
  /// One thread: whatever else runs on the machine, threads do not wait for each other.
  Outcome chat(const std::vector<std::string>& more, const std::string& input = {}) const {
    std::vector<std::string> arguments = {"chat", "-m", model_, "--threads", "1"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return cli(std::move(arguments), input);
  }
};

TEST_F(Chat, GreedyAnswerIsLibllamasWordForWord) {
  const Outcome outcome = chat({"--temperature", "0", "--max-tokens", "40", "--prompt", kPrompt});
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  const std::string expected = llama_greedy_answer(model_, kPrompt, 40);
  EXPECT_FALSE(expected.empty());
  EXPECT_EQ(outcome.out, expected + "\n");
}

TEST_F(Chat, ProofShowsOneAddressForGuestDeviceAndHost) {
  const Outcome outcome = chat({"--temperature", "0", "--max-tokens", "8", "--prompt", kPrompt, "--proof"});
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  const std::string guest = value_after(outcome.out, "guest ");
  EXPECT_TRUE(guest.starts_with("0x")) << outcome.out;
  EXPECT_EQ(value_after(outcome.out, "device "), guest);
  EXPECT_EQ(value_after(outcome.out, "host "), guest);
  EXPECT_EQ(value_after(outcome.out, "bytes copied = "), "0");
  EXPECT_EQ(value_after(outcome.out, "read by the host: "), "yes");
  EXPECT_NE(outcome.out.find("tokens/s"), std::string::npos);
}

TEST_F(Chat, ProofNamesTheDeviceThatComputed) {
  const json answer = json::parse(
      chat({"--device", "null", "--temperature", "0", "--max-tokens", "2", "--prompt", kPrompt, "--proof", "--json"})
          .out);
  EXPECT_EQ(answer["proof"]["device_name"], "null");
  EXPECT_EQ(answer["proof"]["same_pointer"], true);
}

TEST_F(Chat, NeitherStrictNorPriorityChangesAWord) {
  const std::vector<std::string> plain = {"--temperature", "0", "--max-tokens", "12", "--prompt", kPrompt};
  const std::string answer = chat(plain).out;
  EXPECT_FALSE(answer.empty());
  const std::vector<std::vector<std::string>> choices = {{"--strict"}, {"--priority", "8"}, {"--priority", "-8"}};
  for (const std::vector<std::string>& more : choices) {
    std::vector<std::string> arguments = plain;
    arguments.insert(arguments.end(), more.begin(), more.end());
    const Outcome outcome = chat(arguments);
    EXPECT_EQ(outcome.status, 0) << outcome.err;
    EXPECT_EQ(outcome.out, answer) << more.front();
  }
  expect_sentence(chat({"--priority", "9", "--prompt", kPrompt}), kUsage, "9");
}

class ChatWeights : public Chat {
 protected:
  /// With a cache of the test's own.
  Outcome driftwood(std::vector<std::string> arguments) const {
    Environment changed = environment();
    for (auto& [name, value] : changed) {
      if (name == "DRIFTWOOD_CACHE") value = (folder() / "cache").string();
    }
    return run({.arguments = with_program(std::move(arguments)), .environment = changed, .input = {}});
  }
  /// Greedy.
  Outcome answer() const {
    return driftwood(
        {"chat", "-m", model_, "--threads", "1", "--temperature", "0", "--max-tokens", "6", "--prompt", kPrompt});
  }
  std::filesystem::path packs() const { return folder() / "cache" / "packed"; }
};

TEST_F(ChatWeights, ArePackedOnceAndMappedFromThenOn) {
  const Outcome first = answer();
  ASSERT_EQ(first.status, 0) << first.err;
  ASSERT_EQ(std::distance(std::filesystem::directory_iterator(packs()), {}), 1);
  const auto file = std::filesystem::directory_iterator(packs())->path();
  const auto told = nlohmann::json::parse(driftwood({"models", "--json"}).out)["packed"];
  EXPECT_EQ(told["folder"], packs().string());
  EXPECT_EQ(told["files"], 1);
  EXPECT_EQ(told["bytes"], std::filesystem::file_size(file));
  const auto written = std::filesystem::last_write_time(file);
  EXPECT_EQ(answer().out, first.out);
  EXPECT_EQ(std::filesystem::last_write_time(file), written) << "nobody packs again";

  std::fstream(file, std::ios::in | std::ios::out | std::ios::binary).seekp(5'000'000).write("damage", 6);
  EXPECT_EQ(answer().out, first.out);
  EXPECT_NE(std::filesystem::last_write_time(file), written) << "a damaged file is made anew";
}

TEST_F(ChatWeights, WithoutAFolderForThemAreKeptByTheProcessAlone) {
  std::filesystem::create_directories(packs().parent_path());
  std::ofstream(packs()) << "in the way";
  const Outcome outcome = answer();
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_FALSE(outcome.out.empty());
  EXPECT_NE(outcome.err.find("are kept by this process alone"), std::string::npos) << outcome.err;
}

TEST_F(Chat, JsonAnswerCountsItsTokens) {
  const Outcome outcome =
      chat({"--temperature", "0", "--max-tokens", "5", "--prompt", kPrompt, "--json", "--seed", "9"});
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  const json answer = json::parse(outcome.out);
  EXPECT_EQ(answer["generated_tokens"], 5);
  EXPECT_EQ(answer["finish"], "length");
  EXPECT_EQ(answer["seed"], 9);
  EXPECT_GT(answer["prompt_tokens"], 5);
  EXPECT_FALSE(answer["text"].get<std::string>().empty());
  EXPECT_GT(answer["tokens_per_second"]["decode"], 0);
}

TEST_F(Chat, SeedDecidesTheAnswer) {
  const auto answer = [&](const char* seed) {
    return chat({"--temperature", "1.5", "--max-tokens", "12", "--seed", seed, "--prompt", kPrompt}).out;
  };
  const std::string first = answer("1");
  EXPECT_FALSE(first.empty());
  EXPECT_EQ(answer("1"), first);
  EXPECT_NE(answer("2"), first);
}

TEST_F(Chat, LinesOfAPipeAreTurnsOfOneConversation) {
  const Outcome outcome =
      chat({"--temperature", "0", "--max-tokens", "6", "--json"}, "My name is Ada.\n\nWhat is my name?\n");
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  std::istringstream lines(outcome.out);
  std::string first;
  std::string second;
  std::string third;
  std::getline(lines, first);
  std::getline(lines, second);
  EXPECT_FALSE(std::getline(lines, third));
  EXPECT_EQ(json::parse(first)["reused_tokens"], 0);
  // The second turn finds the first one's KV rows in the actor's memory.
  EXPECT_GT(json::parse(second)["reused_tokens"], 0);
  EXPECT_GT(json::parse(second)["context_tokens"], json::parse(first)["context_tokens"]);
}

TEST_F(Chat, StopTextEndsTheAnswerAndIsNoPartOfIt) {
  const json answer = json::parse(
      chat({"--temperature", "0", "--max-tokens", "40", "--stop", "France", "--prompt", kPrompt, "--json"}).out);
  EXPECT_EQ(answer["finish"], "stop");
  EXPECT_EQ(answer["text"].get<std::string>().find("France"), std::string::npos);
  EXPECT_FALSE(answer["text"].get<std::string>().empty());
}

TEST_F(Chat, QuantizedCacheAnswersToo) {
  const Outcome outcome = chat({"--kv", "q8_0", "--temperature", "0", "--max-tokens", "8", "--prompt", kPrompt});
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_NE(outcome.out.find("Paris"), std::string::npos) << outcome.out;
}

TEST_F(Chat, FullContextIsSaidAndEndsTheAnswer) {
  const json answer = json::parse(
      chat({"--ctx", "64", "--temperature", "0", "--prompt", "Write a very long story about the sea.", "--json"}).out);
  EXPECT_EQ(answer["finish"], "context_full");
  EXPECT_EQ(answer["n_ctx"], 64);
}

TEST_F(Chat, PromptThatDoesNotFitIsAnError) {
  std::string prompt;
  for (int i = 0; i < 100; ++i) prompt += "word ";
  const Outcome outcome = chat({"--ctx", "32", "--prompt", prompt});
  expect_sentence(outcome, kInvalidArgument, "32 tokens");
}

TEST_F(Chat, MemoryLimitOfTheActorIsKept) {
  const Outcome outcome = chat({"--max-memory", "2M", "--prompt", "Hi"});
  EXPECT_NE(outcome.status, 0);
  EXPECT_TRUE(outcome.err.starts_with("driftwood: ")) << outcome.err;
}

TEST_F(Chat, GuestThatIsNoChatActorIsSaidSo) {
  const Outcome outcome = chat({"--guest", DRIFTWOOD_CLI_PROBE, "--prompt", "Hi"});
  EXPECT_EQ(outcome.status, kInvalidArgument) << outcome.err;
}

using ChatOptions = CliTest;

TEST_F(ChatOptions, WrongValuesAreUsageErrors) {
  EXPECT_EQ(cli({"chat", "--kv", "f64", "--prompt", "Hi"}).status, kUsage);
  EXPECT_EQ(cli({"chat", "--top-p", "2", "--prompt", "Hi"}).status, kUsage);
  EXPECT_EQ(cli({"chat", "--ctx", "many", "--prompt", "Hi"}).status, kUsage);
  expect_sentence(cli({"chat", "-m", "nobody", "--prompt", "Hi"}), kNotFound, "nobody");
}

}  // namespace
}  // namespace driftwood::testing
