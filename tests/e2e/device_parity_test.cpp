// The real SmolLM2-135M-Instruct on every other device of this machine, held to the CPU, and where it lies further off
// than usual, to how far libllama lies off there.
#include <gtest/gtest.h>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>

#include "support/libllama_reference.hpp"
#include "support/sequence.hpp"
#include "support/test_name.hpp"

namespace driftwood {
namespace {

using namespace driftwood::testing;

constexpr std::uint32_t kTokens = 32;
constexpr std::uint32_t kContext = 256;
// Two sound ways of computing this model lie a few percent apart (smollm_parity_test.cpp); so near may two logits be
// whose order differs.
constexpr double kNear = 0.1;
constexpr double kUsual = 0.05;

std::vector<std::string> other_devices() {
  std::vector<std::string> names = device_names();
  std::erase_if(names, [](const std::string& name) { return name == "cpu" || name == "null"; });
  return names;
}

using Rows = std::vector<std::vector<float>>;

/// How far rows of logits lie from others: in the mean, and the first ones, which follow the prompt.
struct Distance {
  double mean = 0;
  double prompt = 0;

  Distance(const Rows& a, const Rows& b) : prompt(relative_error(a.front(), b.front())) {
    for (std::size_t i = 0; i < a.size(); ++i) mean += relative_error(a[i], b[i]) / static_cast<double>(a.size());
  }
  std::string text() const { return fmt::format("{:.2e} in the mean, {:.2e} after the prompt", mean, prompt); }
};

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
    path_ = path;
    cpu_ = std::make_unique<Host>("cpu", path);
    other_ = std::make_unique<Host>(GetParam(), path);
    const Tokenizer& tokenizer = cpu_->model->tokenizer();
    const std::array<ChatMessage, 1> messages = {ChatMessage{"user", "Why does the tide come in and go out?"}};
    prompt_ = value_of(tokenizer.tokenize(value_of(tokenizer.apply_chat_template(messages, true)), true, true));
  }

  /// libllama's rows on the device that `like` is (null: the CPU), after the prompt and each token of `text`.
  Rows libllama_rows(std::span<const Token> text, Device* like) const {
    ggml_backend_dev_t const device = like == nullptr ? nullptr : ggml_backend_buft_get_device(like->scratch_type());
    LibllamaReference reference(path_, {.n_ctx = kContext, .device = device});
    Rows rows = {copy(reference.forward(prompt_))};
    for (const Token& token : text) rows.push_back(copy(reference.forward({&token, 1})));
    return rows;
  }

  std::filesystem::path path_;
  std::unique_ptr<Host> cpu_;
  std::unique_ptr<Host> other_;
  std::vector<Token> prompt_;
};

TEST_P(DeviceParity, ChoosesTheCpusTokensOrOnesThatLieAsNear) {
  Sequence ours(*other_->model, kContext);
  Sequence theirs(*cpu_->model, kContext);
  Rows our_rows, their_rows;
  std::vector<Token> text;
  std::uint32_t same = 0;
  while (our_rows.size() < kTokens) {
    const std::span<const Token> next = text.empty() ? std::span<const Token>(prompt_) : std::span(&text.back(), 1);
    our_rows.push_back(copy(ours.run(*other_->forward, next)));
    their_rows.push_back(copy(theirs.run(*cpu_->forward, next)));
    const std::vector<float>& expected = their_rows.back();
    if (greedy(our_rows.back()) == greedy(expected)) {
      ++same;
    } else {
      EXPECT_LE(lead(expected), kNear) << "at token " << text.size();
    }
    text.push_back(greedy(expected));
  }
  const Distance off(our_rows, their_rows);
  RecordProperty("to_the_cpu", off.text());
  RecordProperty("same_tokens", static_cast<int>(same));
  if (off.mean <= kUsual) return;
  text.pop_back();
  const Rows libllama = libllama_rows(text, other_->device.get());
  const Distance libllamas(libllama, libllama_rows(text, nullptr));
  RecordProperty("libllama_to_libllama", libllamas.text());
  RecordProperty("to_libllama_there", Distance(our_rows, libllama).text());
  EXPECT_LE(off.mean, 1.2 * libllamas.mean);
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
    EXPECT_LE(relative_error(logits, expected), kUsual) << from->device->info().name;
    EXPECT_TRUE(std::ranges::equal(child.used(rows), parent.used(rows))) << "rows that are read are not written";
  }
}

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(DeviceParity);
INSTANTIATE_TEST_SUITE_P(Devices, DeviceParity, ::testing::ValuesIn(other_devices()),
                         [](const auto& test) { return test_name(test.param); });

}  // namespace
}  // namespace driftwood
