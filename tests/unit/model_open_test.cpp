// Model::open and Model::summarize: weights where the device sees them, and what is refused.

#include <ggml.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <vector>

#include "core/hash.hpp"
#include "device/null/null_device.hpp"
#include "model/gguf.hpp"
#include "model/model.hpp"
#include "support/temporary_folder.hpp"
#include "tools/random_model.hpp"

namespace driftwood {
namespace {

using ::testing::AllOf;
using testing::GgufWriter;
using ::testing::HasSubstr;
using testing::RandomModelOptions;

class ModelFile : public ::testing::Test {
 protected:
  void SetUp() override {
    ::setenv("DRIFTWOOD_CACHE", (folder_.path() / "cache").c_str(), 1);
    device_ = *open_device("cpu", {.threads = 1});
  }

  void write(const RandomModelOptions& options) { ASSERT_TRUE(testing::write_random_model(options, path_)); }

  Error open_error() {
    const auto model = Model::open(path_, *device_);
    EXPECT_FALSE(model);
    return model ? Error{} : model.error();
  }

  TemporaryFolder folder_;
  std::filesystem::path path_ = folder_.path() / "tiny.gguf";
  std::unique_ptr<Device> device_;
};

TEST_F(ModelFile, WeightsLieWhereTheFileIsMappedAndHoldItsBytes) {
  const RandomModelOptions options;
  write(options);
  const auto bytes = testing::random_model(options)->bytes();
  const auto model = Model::open(path_, *device_);
  ASSERT_TRUE(model) << model.error().to_string();
  EXPECT_EQ((*model)->sharing(), Sharing::same_memory);
  EXPECT_EQ((*model)->name(), "tiny");
  EXPECT_EQ((*model)->architecture(), "llama");

  const ggml_tensor* weight = (*model)->layer_weight(1, "ffn_up.weight");
  ASSERT_NE(weight, nullptr);
  EXPECT_EQ(weight->ne[0], options.n_embd);
  EXPECT_EQ(weight->ne[1], options.n_ff);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(weight->data) % 32, 0U);
  const auto gguf = *Gguf::parse(bytes);
  const GgufTensor* expected = gguf.find_tensor("blk.1.ffn_up.weight");
  EXPECT_EQ(std::memcmp(weight->data, bytes.data() + expected->offset, expected->size), 0);
  EXPECT_EQ((*model)->weight("no.such.weight"), nullptr);
}

TEST_F(ModelFile, TiedHeadIsTheEmbeddings) {
  write({.tied_output = true});
  const auto tied = *Model::open(path_, *device_);
  EXPECT_TRUE(tied->hyperparameters().tied_output);
  EXPECT_EQ(tied->weight("output.weight"), tied->weight("token_embd.weight"));

  write({.tied_output = false});
  const auto untied = *Model::open(path_, *device_);
  EXPECT_FALSE(untied->hyperparameters().tied_output);
  EXPECT_NE(untied->weight("output.weight"), untied->weight("token_embd.weight"));
}

TEST_F(ModelFile, HashIsThatOfTheBytesAndIsRememberedUntilTheFileChanges) {
  write({.seed = 1});
  int calls = 0;
  const ModelOptions counting{.name = "", .progress = [&](double done) {
                                ++calls;
                                EXPECT_TRUE(done > 0.0 && done <= 1.0);
                              }};
  const auto first = *Model::open(path_, *device_, counting);
  EXPECT_EQ(first->hash(), *hash_file(path_));
  const int calls_when_hashed = calls;
  calls = 0;
  const auto second = *Model::open(path_, *device_, counting);
  EXPECT_EQ(second->hash(), first->hash());
  EXPECT_LT(calls, calls_when_hashed);

  // A file of the same size that replaces this one.
  const auto other = folder_.path() / "other.gguf";
  ASSERT_TRUE(testing::write_random_model({.seed = 2}, other));
  std::filesystem::rename(other, path_);
  const auto third = *Model::open(path_, *device_, counting);
  EXPECT_EQ(third->hash(), *hash_file(path_));
  EXPECT_NE(third->hash(), first->hash());
}

TEST_F(ModelFile, HashingIsHalfOfTheLoadingWhereTheWeightsAreCopied) {
  write({.seed = 1});
  const auto card =
      *create_null_device(std::make_shared<NullDeviceControl>(NullDeviceOptions{.sharing = Sharing::copied}));
  std::vector<double> told;
  ASSERT_TRUE(Model::open(path_, *card, {.name = "", .progress = [&](double done) { told.push_back(done); }}));
  EXPECT_THAT(told, ::testing::ElementsAre(0.5, 1.0));
}

TEST_F(ModelFile, DamagedHashCacheIsIgnored) {
  write({});
  const Hash expected = (*Model::open(path_, *device_))->hash();
  for (const auto& entry : std::filesystem::directory_iterator(folder_.path() / "cache" / "model-hashes")) {
    std::ofstream(entry.path(), std::ios::trunc) << "nonsense";
  }
  EXPECT_EQ((*Model::open(path_, *device_))->hash(), expected);
}

TEST_F(ModelFile, SummaryTellsWhatTheFileIsWithoutADevice) {
  write({.architecture = "qwen3", .name = "Tiny", .type = GGML_TYPE_Q8_0});
  const auto summary = Model::summarize(path_);
  ASSERT_TRUE(summary) << summary.error().to_string();
  EXPECT_EQ(summary->architecture, "qwen3");
  EXPECT_EQ(summary->title, "Tiny");
  EXPECT_EQ(summary->file_type, "Q8_0");
  EXPECT_EQ(summary->file_bytes, std::filesystem::file_size(path_));
  EXPECT_TRUE(summary->supported);
  EXPECT_EQ(summary->problem, "");
  EXPECT_EQ(summary->hyperparameters.n_layer, 2U);
}

TEST_F(ModelFile, MissingFileIsNotFoundAndAFolderIsRefused) {
  EXPECT_EQ(open_error().code, ErrorCode::not_found);
  std::filesystem::create_directory(path_);
  EXPECT_EQ(open_error().code, ErrorCode::invalid_argument);
}

TEST_F(ModelFile, NamedPipeIsRefusedInsteadOfWaitedFor) {
  ASSERT_EQ(::mkfifo(path_.c_str(), 0600), 0);
  EXPECT_EQ(open_error().code, ErrorCode::invalid_argument);
}

TEST_F(ModelFile, EmptyAndTruncatedFilesAreCorrupt) {
  std::ofstream(path_).flush();
  EXPECT_EQ(open_error().code, ErrorCode::corrupt);
  write({});
  std::filesystem::resize_file(path_, std::filesystem::file_size(path_) / 2);
  const Error error = open_error();
  EXPECT_EQ(error.code, ErrorCode::corrupt);
  EXPECT_THAT(error.to_string(), AllOf(HasSubstr("beyond the end"), HasSubstr(path_.string())));
}

TEST_F(ModelFile, UnknownArchitectureIsNamedWithThoseThatAreKnown) {
  GgufWriter writer;
  writer.add("general.architecture", "mamba");
  ASSERT_TRUE(writer.write(path_));
  const Error error = open_error();
  EXPECT_EQ(error.code, ErrorCode::unsupported);
  EXPECT_THAT(error.message, AllOf(HasSubstr("mamba"), HasSubstr("llama"), HasSubstr("qwen3")));
  EXPECT_FALSE(Model::summarize(path_)->supported);
}

// What may be wrong in a file whose container is sound.
struct Flaw {
  const char* name;
  std::function<void(GgufWriter&)> add;
  ErrorCode code;
  const char* says;
};

class FlawedModel : public ModelFile, public ::testing::WithParamInterface<Flaw> {};

TEST_P(FlawedModel, IsRefusedWithTheReason) {
  GgufWriter writer = *testing::random_model({});
  GetParam().add(writer);
  ASSERT_TRUE(writer.write(path_));
  const Error error = open_error();
  EXPECT_EQ(error.code, GetParam().code) << error.message;
  EXPECT_THAT(error.message, HasSubstr(GetParam().says));
}

void add_vector(GgufWriter& writer, const char* name, std::int64_t size) {
  writer.add_tensor(name, GGML_TYPE_F32, {size}, {});
}

INSTANTIATE_TEST_SUITE_P(
    Flaws, FlawedModel,
    ::testing::Values(Flaw{"Experts", [](GgufWriter& w) { w.add("llama.expert_count", std::uint32_t{8}); },
                           ErrorCode::unsupported, "mixture of experts"},
                      Flaw{"Alibi", [](GgufWriter& w) { w.add("llama.attention.max_alibi_bias", 8.0F); },
                           ErrorCode::unsupported, "ALiBi"},
                      Flaw{"NotCausal", [](GgufWriter& w) { w.add("llama.attention.causal", false); },
                           ErrorCode::unsupported, "later tokens"},
                      Flaw{"UnknownRopeScaling", [](GgufWriter& w) { w.add("llama.rope.scaling.type", "dynamic"); },
                           ErrorCode::unsupported, "dynamic"},
                      Flaw{"NegativeRopeScaling", [](GgufWriter& w) { w.add("llama.rope.scaling.factor", -2.0F); },
                           ErrorCode::corrupt, "rope.scaling.factor (-2)"},
                      Flaw{"UnusedTensor", [](GgufWriter& w) { add_vector(w, "blk.0.attn_sinks.weight", 4); },
                           ErrorCode::unsupported, "blk.0.attn_sinks.weight"},
                      Flaw{"BiasInOneLayerOnly", [](GgufWriter& w) { add_vector(w, "blk.1.attn_output.bias", 64); },
                           ErrorCode::unsupported, "blk.1.attn_output.bias"},
                      Flaw{"BiasMissingInOneLayer", [](GgufWriter& w) { add_vector(w, "blk.0.attn_output.bias", 64); },
                           ErrorCode::corrupt, "blk.1.attn_output.bias is missing"},
                      Flaw{"WrongShape", [](GgufWriter& w) { add_vector(w, "rope_freqs.weight", 9); },
                           ErrorCode::corrupt, "rope_freqs.weight (9 x 1"},
                      Flaw{"WrongType",
                           [](GgufWriter& w) { w.add_tensor("rope_freqs.weight", GGML_TYPE_F16, {8}, {}); },
                           ErrorCode::unsupported, "f16"},
                      Flaw{"TypeWithoutKernels",
                           [](GgufWriter& w) { w.add_tensor("output.weight", GGML_TYPE_I32, {64, 512}, {}); },
                           ErrorCode::unsupported, "i32"}),
    [](const auto& row) { return std::string(row.param.name); });

TEST_F(ModelFile, LayersThatDifferAreUnsupportedAndImpossibleSizesCorrupt) {
  const auto error_with = [&](const std::function<void(GgufWriter&)>& heads) {
    GgufWriter writer;
    writer.add("general.architecture", "llama");
    writer.add("llama.context_length", std::uint32_t{64});
    writer.add("llama.embedding_length", std::uint32_t{64});
    writer.add("llama.block_count", std::uint32_t{2});
    writer.add("llama.feed_forward_length", std::uint32_t{64});
    heads(writer);
    EXPECT_TRUE(writer.write(path_));
    return open_error();
  };
  const Error differ =
      error_with([](GgufWriter& w) { w.add("llama.attention.head_count", std::vector<std::int32_t>{4, 8}); });
  EXPECT_EQ(differ.code, ErrorCode::unsupported);
  EXPECT_THAT(differ.message, HasSubstr("llama.attention.head_count differs"));

  const Error missing = error_with([](GgufWriter&) {});
  EXPECT_EQ(missing.code, ErrorCode::corrupt);
  EXPECT_THAT(missing.message, HasSubstr("llama.attention.head_count is missing"));

  const Error indivisible = error_with([](GgufWriter& w) {
    w.add("llama.attention.head_count", std::uint32_t{4});
    w.add("llama.attention.head_count_kv", std::uint32_t{3});
  });
  EXPECT_THAT(indivisible.message, AllOf(HasSubstr("(4)"), HasSubstr("(3)")));

  const Error odd = error_with([](GgufWriter& w) {
    w.add("llama.attention.head_count", std::uint32_t{4});
    w.add("llama.rope.dimension_count", std::uint32_t{15});
  });
  EXPECT_EQ(odd.code, ErrorCode::corrupt);
}

TEST_F(ModelFile, VocabularyOfAnotherSizeThanTheWeightsIsCorrupt) {
  write({.n_vocab = 512, .n_tokenizer = 600});
  const Error error = open_error();
  EXPECT_EQ(error.code, ErrorCode::corrupt);
  EXPECT_THAT(error.message, AllOf(HasSubstr("600"), HasSubstr("512")));
}

}  // namespace
}  // namespace driftwood
