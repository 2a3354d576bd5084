// The family table and the random models, held to libllama: it loads and decodes a file of each architecture.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <llama.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "core/handle.hpp"
#include "model/family.hpp"
#include "model/llama_log.hpp"
#include "model/weights.hpp"
#include "support/temporary_folder.hpp"
#include "tools/random_model.hpp"

namespace driftwood {
namespace {

using testing::RandomModelOptions;
using LlamaModel = Handle<llama_model, llama_model_free>;
using LlamaContext = Handle<llama_context, llama_free>;

std::vector<std::string> architectures() {
  std::vector<std::string> names;
  for (const Family& family : families()) names.emplace_back(family.architecture);
  return names;
}

/// The last token's logits as libllama computes them; empty with a message where it fails.
std::vector<float> llama_logits(const std::filesystem::path& path, std::vector<llama_token> tokens) {
  const LlamaLogCapture log;
  const LlamaModel model(llama_model_load_from_file(path.c_str(), llama_model_default_params()));
  if (model == nullptr) {
    ADD_FAILURE() << log.text();
    return {};
  }
  llama_context_params params = llama_context_default_params();
  params.n_ctx = 256;
  params.n_threads = params.n_threads_batch = 1;
  const LlamaContext context(llama_init_from_model(model.get(), params));
  const llama_batch batch = llama_batch_get_one(tokens.data(), static_cast<std::int32_t>(tokens.size()));
  if (context == nullptr || llama_decode(context.get(), batch) != 0) {
    ADD_FAILURE() << log.text();
    return {};
  }
  const float* logits = llama_get_logits_ith(context.get(), -1);
  return {logits, logits + llama_vocab_n_tokens(llama_model_get_vocab(model.get()))};
}

class EachFamily : public ::testing::TestWithParam<std::string> {
 protected:
  TemporaryFolder folder_;
};

TEST_P(EachFamily, RandomModelIsDecodedByLibllamaWithSpreadLogits) {
  const auto path = folder_.path() / "model.gguf";
  ASSERT_TRUE(testing::write_random_model(testing::representative_options(GetParam()), path));
  std::vector<llama_token> tokens(24);
  for (std::size_t i = 0; i < tokens.size(); ++i) tokens[i] = static_cast<llama_token>(7 * i + 3);

  std::vector<float> logits = llama_logits(path, tokens);
  ASSERT_EQ(logits.size(), 512U);
  EXPECT_TRUE(std::ranges::all_of(logits, [](float logit) { return std::isfinite(logit); }));
  std::ranges::sort(logits, std::greater<>());
  EXPECT_GT(logits[0] - logits[256], 1.0F);
  EXPECT_LT(logits[0], 200.0F);
}

TEST_P(EachFamily, RepresentativeFileIsAccepted) {
  const auto writer = testing::random_model(testing::representative_options(GetParam()));
  ASSERT_TRUE(writer);
  const auto bytes = writer->bytes();
  const auto gguf = Gguf::parse(bytes);
  ASSERT_TRUE(gguf) << gguf.error().to_string();
  const auto family = family_of(*gguf);
  ASSERT_TRUE(family);
  EXPECT_EQ((*family)->architecture, GetParam());
  const auto hyperparameters = read_hyperparameters(*gguf, **family);
  ASSERT_TRUE(hyperparameters) << hyperparameters.error().to_string();
  const auto checked = check_weights(*gguf, **family, *hyperparameters);
  EXPECT_TRUE(checked) << checked.error().to_string();
  EXPECT_NE(hyperparameters->attention_scale, 0.0F);
}

TEST_P(EachFamily, EveryWeightIsMissedByName) {
  const auto bytes = testing::random_model(testing::representative_options(GetParam()))->bytes();
  const auto gguf = *Gguf::parse(bytes);
  const Family& family = **family_of(gguf);
  const Hyperparameters hyperparameters = *read_hyperparameters(gguf, family);
  for (const GgufTensor& tensor : gguf.tensors()) {
    // The same file with this tensor under another name of the same length.
    auto renamed = bytes;
    const auto at = static_cast<std::size_t>(reinterpret_cast<const std::byte*>(tensor.name.data()) - bytes.data());
    renamed[at] = std::byte{'X'};
    const auto checked = check_weights(*Gguf::parse(renamed), family, hyperparameters);
    ASSERT_FALSE(checked) << tensor.name;
    EXPECT_THAT(checked.error().message, ::testing::HasSubstr(std::string(tensor.name)));
  }
}

INSTANTIATE_TEST_SUITE_P(Families, EachFamily, ::testing::ValuesIn(architectures()),
                         [](const auto& row) { return row.param; });

}  // namespace
}  // namespace driftwood
