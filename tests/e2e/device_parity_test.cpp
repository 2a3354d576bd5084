// The real SmolLM2-135M-Instruct on every other device of this machine, held to the CPU.
#include <gtest/gtest.h>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>

#include "support/sequence.hpp"

namespace driftwood {
namespace {

using namespace driftwood::testing;

constexpr std::uint32_t kTokens = 32;
constexpr std::uint32_t kContext = 256;
// Two sound ways of computing this model lie a few percent apart (smollm_parity_test.cpp); so near may two logits be
// whose order differs.
constexpr double kNear = 0.1;

std::vector<std::string> other_devices() {
  std::vector<std::string> names = device_names();
  std::erase_if(names, [](const std::string& name) { return name == "cpu" || name == "null"; });
  return names;
}

/// A device with the model on it.
struct Host {
  std::unique_ptr<Device> device;
  std::shared_ptr<const Model> model;
  std::unique_ptr<Forward> forward;

  Host(std::string_view name, const std::filesystem::path& path)
      : device(value_of(open_device(name, {.threads = 1}))),
        model(open_model(path, *device)),
        forward(value_of(Forward::create(model))) {}
};

class DeviceParity : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    const char* path = std::getenv("DRIFTWOOD_TEST_MODEL");
    if (path == nullptr) GTEST_SKIP() << "DRIFTWOOD_TEST_MODEL does not name the model's file.";
    cpu_ = std::make_unique<Host>("cpu", path);
    other_ = std::make_unique<Host>(GetParam(), path);
    const Tokenizer& tokenizer = cpu_->model->tokenizer();
    const std::array<ChatMessage, 1> messages = {ChatMessage{"user", "Why does the tide come in and go out?"}};
    prompt_ = value_of(tokenizer.tokenize(value_of(tokenizer.apply_chat_template(messages, true)), true, true));
  }

  std::unique_ptr<Host> cpu_;
  std::unique_ptr<Host> other_;
  std::vector<Token> prompt_;
};

TEST_P(DeviceParity, ChoosesTheCpusTokensOrOnesThatLieAsNear) {
  Sequence ours(*other_->model, kContext);
  Sequence theirs(*cpu_->model, kContext);
  std::vector<Token> next = prompt_;
  double off = 0;
  std::uint32_t same = 0;
  for (std::uint32_t i = 0; i < kTokens; ++i) {
    const auto expected = theirs.run(*cpu_->forward, next);
    const auto logits = ours.run(*other_->forward, next);
    off += relative_error(logits, expected);
    if (greedy(logits) == greedy(expected)) {
      ++same;
    } else {
      EXPECT_LE(lead(expected), kNear) << "at token " << i;
    }
    next = {greedy(expected)};
  }
  RecordProperty("mean_relative_error", fmt::format("{:.2e}", off / kTokens));
  RecordProperty("same_tokens", static_cast<int>(same));
  EXPECT_LE(off / kTokens, 0.05);
}

TEST_P(DeviceParity, GoesOnWithMemoryThatAnotherDeviceWrote) {
  for (const auto& [from, to] : {std::pair(cpu_.get(), other_.get()), std::pair(other_.get(), cpu_.get())}) {
    Sequence parent(*from->model, kContext);
    parent.run(*from->forward, prompt_);
    const auto image = parent.freeze(*from->model);
    Sequence child(*to->model, parent, image);
    const auto rows = static_cast<std::uint32_t>(prompt_.size());
    EXPECT_TRUE(std::ranges::equal(child.used(rows), parent.used(rows))) << "a thaw changes no byte";

    const std::vector<Token> next = {prompt_.back()};
    const auto expected = copy(parent.run(*from->forward, next));
    const auto logits = child.run(*to->forward, next);
    EXPECT_LE(relative_error(logits, expected), 0.05) << from->device->info().name;
    EXPECT_TRUE(std::ranges::equal(child.used(rows), parent.used(rows))) << "rows that are read are not written";
  }
}

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(DeviceParity);
INSTANTIATE_TEST_SUITE_P(Devices, DeviceParity, ::testing::ValuesIn(other_devices()), [](const auto& test) {
  std::string name = test.param;
  std::ranges::replace_if(name, [](char c) { return std::isalnum(c) == 0; }, '_');
  return name;
});

}  // namespace
}  // namespace driftwood
