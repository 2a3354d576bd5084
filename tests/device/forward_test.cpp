// The forward pass as a function over memory: what it reads, writes and refuses.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <thread>

#include "device/null/null_device.hpp"
#include "llm/model_pool.hpp"
#include "support/sequence.hpp"
#include "support/temporary_folder.hpp"
#include "tools/random_model.hpp"

namespace driftwood {
namespace {

using namespace driftwood::testing;
using ::testing::HasSubstr;

/// Passes of different sizes use different kernels; their sums round differently.
constexpr double kShapeTolerance = 2e-2;

bool same_bytes(std::span<const float> a, std::span<const float> b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size_bytes()) == 0;
}

class ForwardPass : public ::testing::TestWithParam<AttentionKind> {
 protected:
  void SetUp() override {
    path_ = folder_.path() / "model.gguf";
    RandomModelOptions options = representative_options("llama");
    options.n_embd = 128;
    options.head_dim = 32;
    options.type = GGML_TYPE_Q4_1;
    n_vocab_ = options.n_vocab;
    const auto written = write_random_model(options, path_);
    ASSERT_TRUE(written) << written.error().to_string();
    device_ = value_of(open_device("cpu", {.threads = 1}));
    model_ = open_model(path_, *device_);
    forward_ = make_forward();
    tokens_ = random_tokens(48, n_vocab_);
  }

  /// Either all operators of ggml, or all of Driftwood.
  static ForwardOptions options(std::uint32_t chunk = 512) {
    const bool stock = GetParam() == AttentionKind::stock;
    return {.chunk = chunk, .attention = GetParam(), .products = stock ? ProductKind::stock : ProductKind::packed};
  }
  std::unique_ptr<Forward> make_forward(std::uint32_t chunk = 512) {
    return value_of(Forward::create(model_, options(chunk)));
  }
  std::span<const Token> tokens(std::size_t first, std::size_t n) const { return std::span(tokens_).subspan(first, n); }

  TemporaryFolder folder_;
  std::filesystem::path path_;
  std::uint32_t n_vocab_ = 0;
  std::unique_ptr<Device> device_;
  std::shared_ptr<const Model> model_;
  std::unique_ptr<Forward> forward_;
  std::vector<Token> tokens_;
};

TEST_P(ForwardPass, ChunksOneByOneAndWholeAgree) {
  Sequence whole(*model_, 64);
  Sequence chunked(*model_, 64);
  Sequence single(*model_, 64);
  const auto expected = whole.run(*forward_, tokens_);
  const auto in_chunks = chunked.run(*make_forward(16), tokens_);
  std::span<const float> one_by_one;
  for (std::size_t i = 0; i < tokens_.size(); ++i) one_by_one = single.run(*forward_, tokens(i, 1));
  EXPECT_LE(relative_error(in_chunks, expected), kShapeTolerance);
  EXPECT_LE(relative_error(one_by_one, expected), kShapeTolerance);
  EXPECT_EQ(greedy(in_chunks), greedy(expected));
  EXPECT_EQ(greedy(one_by_one), greedy(expected));
}

TEST_P(ForwardPass, AllRowsEndWithTheLastOne) {
  Sequence all(*model_, 64, KvType::f16, 48);
  Sequence last(*model_, 64);
  const auto forward = make_forward(16);
  const auto rows = all.run(*forward, tokens_, Outputs::all);
  ASSERT_EQ(rows.size(), tokens_.size() * n_vocab_);
  EXPECT_LE(relative_error(rows.last(n_vocab_), last.run(*forward, tokens_)), kShapeTolerance);
  for (const std::size_t i : {0, 15, 16, 47}) {
    Sequence prefix(*model_, 64);
    EXPECT_LE(relative_error(rows.subspan(i * n_vocab_, n_vocab_), prefix.run(*forward, tokens(0, i + 1))),
              kShapeTolerance)
        << "row " << i;
  }
}

TEST_P(ForwardPass, NoOutputsStillStoreTheTokens) {
  Sequence silent(*model_, 64);
  Sequence spoken(*model_, 64);
  silent.run(*forward_, tokens(0, 20), Outputs::none);
  spoken.run(*forward_, tokens(0, 20));
  EXPECT_TRUE(std::ranges::equal(silent.used(20), spoken.used(20)));
  EXPECT_TRUE(same_bytes(silent.run(*forward_, tokens(20, 1)), spoken.run(*forward_, tokens(20, 1))));
}

TEST_P(ForwardPass, ARunWritesItsRowsAndNothingBehindThem) {
  Sequence sequence(*model_, 64);
  sequence.run(*forward_, tokens(0, 10));
  const auto behind = sequence.context().subspan(sequence.used(10).size());
  EXPECT_TRUE(std::ranges::all_of(behind, [](std::byte b) { return b == std::byte{0xff}; }));
}

TEST_P(ForwardPass, TopKIsTheHeadOfTheSortedLogits) {
  Sequence full(*model_, 64);
  Sequence some(*model_, 64);
  const auto logits = full.run(*forward_, tokens(0, 12));
  ForwardRequest request = some.request(tokens(0, 12), Outputs::top_k);
  request.top_k = 20;
  ASSERT_TRUE(forward_->run(request));
  std::vector<TokenLogit> best(20);
  std::memcpy(best.data(), some.logits(), best.size() * sizeof(TokenLogit));

  std::vector<Token> order(n_vocab_);
  for (std::uint32_t i = 0; i < n_vocab_; ++i) order[i] = static_cast<Token>(i);
  std::ranges::stable_sort(order, std::greater<>(),
                           [&](Token token) { return logits[static_cast<std::size_t>(token)]; });
  for (std::size_t i = 0; i < best.size(); ++i) {
    EXPECT_EQ(best[i].token, order[i]) << i;
    EXPECT_EQ(best[i].logit, logits[static_cast<std::size_t>(order[i])]) << i;
  }
}

TEST_P(ForwardPass, TruncatingIsAsIfItHadNeverGoneOn) {
  Sequence straight(*model_, 64);
  Sequence back(*model_, 64);
  straight.run(*forward_, tokens(0, 20));
  back.run(*forward_, tokens(0, 20));
  back.run(*forward_, tokens(30, 15));
  set_context_tokens(back.context(), 20);
  for (std::size_t i = 20; i < 28; ++i) {
    EXPECT_TRUE(same_bytes(back.run(*forward_, tokens(i, 1)), straight.run(*forward_, tokens(i, 1)))) << i;
  }
  EXPECT_TRUE(std::ranges::equal(back.used(28), straight.used(28)));
}

TEST_P(ForwardPass, InterleavedContextsDoNotDisturbEachOther) {
  Sequence a(*model_, 64);
  Sequence b(*model_, 40, KvType::q8_0);
  Sequence alone(*model_, 64);
  a.run(*forward_, tokens(0, 16));
  b.run(*forward_, tokens(20, 9));
  alone.run(*forward_, tokens(0, 16));
  for (std::size_t i = 16; i < 24; ++i) {
    const auto mixed = copy(a.run(*forward_, tokens(i, 1)));
    b.run(*forward_, tokens(i + 10, 1));
    EXPECT_TRUE(same_bytes(mixed, alone.run(*forward_, tokens(i, 1)))) << i;
  }
  EXPECT_TRUE(std::ranges::equal(a.used(24), alone.used(24)));
}

TEST_P(ForwardPass, CachesChangeNoBit) {
  Sequence warm(*model_, 64);
  Sequence cold(*model_, 64);
  for (std::size_t i = 0; i < tokens_.size(); i += 6) {
    const auto expected = copy(warm.run(*forward_, tokens(i, 6)));
    const auto fresh = make_forward();
    EXPECT_TRUE(same_bytes(cold.run(*fresh, tokens(i, 6)), expected)) << i;
    if (i == 24) forward_->drop_caches();
  }
  EXPECT_TRUE(std::ranges::equal(warm.used(48), cold.used(48)));
}

TEST_P(ForwardPass, ACopyOfTheBytesContinuesAlike) {
  Sequence original(*model_, 64);
  Sequence elsewhere(*model_, 64);
  original.run(*forward_, tokens(0, 20));
  std::ranges::copy(original.used(20), elsewhere.context().begin());
  for (std::size_t i = 20; i < 26; ++i) {
    EXPECT_TRUE(same_bytes(elsewhere.run(*forward_, tokens(i, 1)), original.run(*forward_, tokens(i, 1)))) << i;
  }
}

TEST_P(ForwardPass, ContextsOfVersionOneGiveTheSameBits) {
  int other_strides = 0;
  for (const KvType type : {KvType::f16, KvType::q8_0}) {
    Sequence now(*model_, 64, type);
    Sequence first(*model_, 64, type, 1, kFirstContextVersion);
    if (now.layout().token_stride != first.layout().token_stride) ++other_strides;
    // In turn: neither may be computed as the other one lies.
    for (const auto& [begin, n] : {std::pair{0, 20}, {20, 1}, {21, 1}, {22, 4}}) {
      const auto logits = now.run(*forward_, tokens(begin, n));
      EXPECT_TRUE(same_bytes(logits, first.run(*forward_, tokens(begin, n)))) << begin;
    }
  }
  EXPECT_GT(other_strides, 0);
}

TEST_P(ForwardPass, ThreadsChangeNoBit) {
  const auto device = value_of(open_device("cpu", {.threads = 2}));
  const auto model = open_model(path_, *device);
  const auto forward = value_of(Forward::create(model, options()));
  Sequence one(*model_, 64);
  Sequence two(*model, 64);
  EXPECT_TRUE(same_bytes(two.run(*forward, tokens(0, 20)), one.run(*forward_, tokens(0, 20))));
  EXPECT_TRUE(same_bytes(two.run(*forward, tokens(20, 1)), one.run(*forward_, tokens(20, 1))));
}

TEST_P(ForwardPass, ReportsItsProgressChunkByChunk) {
  Sequence sequence(*model_, 64);
  ForwardRequest request = sequence.request(tokens_);
  std::vector<std::pair<std::uint32_t, std::uint32_t>> seen;
  request.progress = [&](std::uint32_t done, std::uint32_t all) { seen.emplace_back(done, all); };
  ASSERT_TRUE(make_forward(16)->run(request));
  EXPECT_THAT(seen, ::testing::ElementsAre(std::pair(16U, 48U), std::pair(32U, 48U), std::pair(48U, 48U)));
}

TEST_P(ForwardPass, ACancelledRunLeavesTheContextAsItWas) {
  Sequence sequence(*model_, 64);
  sequence.run(*forward_, tokens(0, 4));
  std::atomic<bool> cancel{false};
  ForwardRequest request = sequence.request(tokens(4, 40));
  request.cancel = &cancel;
  request.progress = [&](std::uint32_t, std::uint32_t) { cancel = true; };
  const auto forward = make_forward(16);
  const auto result = forward->run(request);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::cancelled);
  EXPECT_EQ(value_of(check_context(sequence.context(), model_->hyperparameters(), model_->hash())).n_tokens, 4U);

  Sequence undisturbed(*model_, 64);
  undisturbed.run(*forward, tokens(0, 4));
  EXPECT_TRUE(same_bytes(sequence.run(*forward, tokens(4, 10)), undisturbed.run(*forward, tokens(4, 10))));
}

TEST_P(ForwardPass, AFullContextSaysHowMuchIsLeft) {
  Sequence sequence(*model_, 16);
  sequence.run(*forward_, tokens(0, 10));
  const auto result = forward_->run(sequence.request(tokens(10, 7)));
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::invalid_argument);
  EXPECT_THAT(result.error().message, HasSubstr("7 tokens do not fit: the Context holds 10 of 16, so 6 more"));
  EXPECT_TRUE(forward_->run(sequence.request(tokens(10, 6))));
}

TEST_P(ForwardPass, DoesNotReadTokensThatDoNotFit) {
  const Sequence sequence(*model_, 16);
  const auto unreadable = value_of(Region::create({.reserve = page_size(), .commit = 0}));
  const auto* tokens = reinterpret_cast<const Token*>(unreadable->data());
  const auto result = forward_->run(sequence.request({tokens, 17}));
  ASSERT_FALSE(result);
  EXPECT_THAT(result.error().message, HasSubstr("17 tokens do not fit"));
}

TEST_P(ForwardPass, RefusesTokensOutsideTheVocabulary) {
  Sequence sequence(*model_, 16);
  for (const Token token : {Token{-1}, static_cast<Token>(n_vocab_)}) {
    const std::vector<Token> wrong = {1, token, 2};
    const auto result = forward_->run(sequence.request(wrong));
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().code, ErrorCode::invalid_argument);
    EXPECT_THAT(result.error().message, HasSubstr("at position 1 is outside the vocabulary (0 to 511)"));
  }
  EXPECT_FALSE(forward_->run(sequence.request({})));
}

TEST_P(ForwardPass, RefusesAContextOfAnotherModel) {
  Sequence sequence(*model_, 16);
  sequence.context()[8] ^= std::byte{1};
  const auto result = forward_->run(sequence.request(tokens(0, 1)));
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::incompatible);
}

TEST_P(ForwardPass, RefusesLogitsThatDoNotFitOrLieInTheContext) {
  Sequence sequence(*model_, 16);
  const ForwardRequest good = sequence.request(tokens(0, 2));
  const std::size_t row = n_vocab_ * sizeof(float);
  const auto refuses = [&](ByteRange logits, Outputs outputs, std::string_view sentence) {
    ForwardRequest request = good;
    request.logits = logits;
    request.outputs = outputs;
    const auto result = forward_->run(request);
    ASSERT_FALSE(result) << sentence;
    EXPECT_EQ(result.error().code, ErrorCode::invalid_argument);
    EXPECT_THAT(result.error().message, HasSubstr(sentence));
  };
  refuses({good.logits.offset, row - 1}, Outputs::last, "take 2048 bytes; the range given has 2047");
  refuses({good.logits.offset, row}, Outputs::all, "take 4096 bytes");
  refuses({good.logits.offset + 4, row}, Outputs::last, "not a multiple of 32");
  refuses({good.memory->size() - 32, row}, Outputs::last, "do not lie in memory");
  refuses({good.context.offset, row}, Outputs::last, "lie in the Context");
  refuses(good.logits, Outputs::top_k, "between 1 and 512");
}

TEST_P(ForwardPass, RefusesAContextOutsideMemoryOrAskew) {
  Sequence sequence(*model_, 16);
  ForwardRequest request = sequence.request(tokens(0, 1));
  request.context = {request.memory->size() - 4096, 8192};
  EXPECT_FALSE(forward_->run(request));
  request.context = {64, sequence.layout().size};
  EXPECT_FALSE(forward_->run(request));
  request.context = {0, sequence.layout().size - 1};
  EXPECT_FALSE(forward_->run(request));
  request = sequence.request(tokens(0, 1));
  request.memory = nullptr;
  EXPECT_FALSE(forward_->run(request));
}

INSTANTIATE_TEST_SUITE_P(Kernels, ForwardPass, ::testing::Values(AttentionKind::stock, AttentionKind::fused),
                         [](const auto& test) { return test.param == AttentionKind::stock ? "ggml" : "own"; });

class Pool : public ForwardPass {};

TEST_P(Pool, LoadsAModelOnceForAll) {
  ModelPool pool(*device_);
  ASSERT_TRUE(pool.add("tiny", path_));
  std::shared_ptr<Forward> first;
  std::shared_ptr<Forward> second;
  std::thread other([&] { second = value_of(pool.open("tiny")); });
  first = value_of(pool.open("tiny"));
  other.join();
  EXPECT_EQ(first, second);
  EXPECT_EQ(first->model().name(), "tiny");
}

TEST_P(Pool, ANameStandsForOnePath) {
  ModelPool pool(*device_);
  ASSERT_TRUE(pool.add("tiny", path_));
  EXPECT_TRUE(pool.add("tiny", path_));
  EXPECT_EQ(pool.add("tiny", "/elsewhere.gguf").error().code, ErrorCode::invalid_argument);
  const auto unknown = pool.open("large");
  ASSERT_FALSE(unknown);
  EXPECT_EQ(unknown.error().code, ErrorCode::not_found);
  EXPECT_THAT(unknown.error().message, HasSubstr("known are: tiny"));
}

TEST_P(Pool, RefusesMoreRequestsThanMayWaitForAModel) {
  ModelPool pool(*device_, {.max_waiting = 1});
  ASSERT_TRUE(pool.add("model", path_));
  const auto forward = value_of(pool.open("model"));
  Sequence first(*model_, 64);
  Sequence second(*model_, 64);
  ForwardRequest request = first.request(tokens(0, 5));
  Result<void> meanwhile;
  std::thread other;
  std::atomic<bool> answered{false};
  request.progress = [&](std::uint32_t, std::uint32_t) {
    other = std::thread([&] {
      meanwhile = forward->run(second.request(tokens(0, 1)));
      answered = true;
    });
    while (!answered && forward->statistics().waiting < 2) std::this_thread::yield();
  };
  ASSERT_TRUE(forward->run(request));
  other.join();
  ASSERT_FALSE(meanwhile);
  EXPECT_EQ(meanwhile.error().code, ErrorCode::unavailable);
  EXPECT_TRUE(forward->run(second.request(tokens(0, 1))));
}

TEST_P(Pool, AFailedLoadIsTriedAgain) {
  ModelPool pool(*device_);
  const auto later = folder_.path() / "later.gguf";
  ASSERT_TRUE(pool.add("later", later));
  EXPECT_EQ(pool.open("later").error().code, ErrorCode::not_found);
  std::filesystem::copy_file(path_, later);
  EXPECT_TRUE(pool.open("later"));
}

TEST_P(Pool, UnloadsWhatWasNotUsedForLongestWhenTheBudgetAsksForIt) {
  std::filesystem::copy_file(path_, folder_.path() / "b.gguf");
  std::filesystem::copy_file(path_, folder_.path() / "c.gguf");
  const std::uint64_t one = make_forward()->weight_bytes();
  ModelPool pool(*device_, {.weights_budget = 2 * one + one / 2});
  ASSERT_TRUE(pool.add("a", path_) && pool.add("b", folder_.path() / "b.gguf") &&
              pool.add("c", folder_.path() / "c.gguf"));
  const auto loaded = [&] {
    std::string names;
    for (const PooledModel& model : pool.list()) names += model.loaded ? model.name : "";
    return names;
  };
  const std::weak_ptr<Forward> a = value_of(pool.open("a"));
  ASSERT_TRUE(pool.open("b"));
  ASSERT_TRUE(pool.open("a"));
  EXPECT_EQ(loaded(), "ab");
  ASSERT_TRUE(pool.open("c"));
  EXPECT_EQ(loaded(), "ac");
  EXPECT_FALSE(a.expired());
  EXPECT_EQ(pool.known_hash("b"), pool.known_hash("a")) << "known after it was unloaded, too";
}

TEST_P(Pool, ModelsInUseAreNotUnloaded) {
  std::filesystem::copy_file(path_, folder_.path() / "b.gguf");
  const std::uint64_t one = make_forward()->weight_bytes();
  ModelPool pool(*device_, {.weights_budget = one + one / 2});
  ASSERT_TRUE(pool.add("a", path_) && pool.add("b", folder_.path() / "b.gguf"));
  auto a = value_of(pool.open("a"));
  const auto b = pool.open("b");
  ASSERT_FALSE(b);
  EXPECT_EQ(b.error().code, ErrorCode::out_of_memory);
  EXPECT_THAT(b.error().message, HasSubstr("The model 'b' does not fit"));
  a = nullptr;
  EXPECT_TRUE(pool.open("b"));
}

TEST(PoolOnACard, UnloadsModelsThatNobodyUsesWhenTheCardIsFull) {
  const TemporaryFolder folder;
  for (const char* name : {"a.gguf", "b.gguf", "c.gguf"}) {
    ASSERT_TRUE(write_random_model(representative_options("llama"), folder.path() / name));
  }
  const auto control = std::make_shared<NullDeviceControl>(NullDeviceOptions{.sharing = Sharing::copied});
  const auto device = value_of(create_null_device(control));
  ModelPool pool(*device);
  for (const char* name : {"a", "b", "c"}) ASSERT_TRUE(pool.add(name, folder.path() / (std::string(name) + ".gguf")));
  const auto a = value_of(pool.open("a"));
  ASSERT_TRUE(pool.open("b"));
  control->fail_imports(1, ErrorCode::out_of_memory);
  EXPECT_TRUE(pool.open("c"));
  EXPECT_FALSE(pool.list()[1].loaded) << "nobody uses b";
  EXPECT_TRUE(pool.list()[0].loaded) << "a is in use";

  control->fail_imports(2, ErrorCode::out_of_memory);
  const auto refused = pool.open("b");
  ASSERT_FALSE(refused) << "there was one model to unload, and room was refused twice";
  EXPECT_EQ(refused.error().code, ErrorCode::out_of_memory);
  EXPECT_FALSE(pool.list()[2].loaded);
}

INSTANTIATE_TEST_SUITE_P(Models, Pool, ::testing::Values(AttentionKind::automatic),
                         [](const auto&) { return "automatic"; });

}  // namespace
}  // namespace driftwood
