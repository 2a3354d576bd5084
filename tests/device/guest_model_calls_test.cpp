// The model and llm calls of the guest ABI over a small model with random weights.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "llm/model_pool.hpp"
#include "support/fake_guest.hpp"
#include "support/temporary_folder.hpp"
#include "tools/random_model.hpp"

namespace driftwood {
namespace {

using test::FakeGuest;
using ::testing::HasSubstr;
using ::testing::StartsWith;

class GuestModelCalls : public ::testing::Test {
 protected:
  void SetUp() override {
    const auto path = folder_.path() / "model.gguf";
    const auto written = testing::write_random_model(testing::representative_options("llama"), path);
    ASSERT_TRUE(written) << written.error().to_string();
    device_ = open_device("cpu", {.threads = 1}).value();
    pool_ = std::make_unique<ModelPool>(*device_);
    ASSERT_TRUE(pool_->add("small", path));
    ASSERT_TRUE(pool_->add("secret", path));
    GuestHostOptions options;
    options.device = device_.get();
    options.models = pool_.get();
    options.grants.models = {"small"};
    options.progress = [this](std::uint32_t done, std::uint32_t all) { progress_.emplace_back(done, all); };
    guest_ = std::make_unique<FakeGuest>(std::move(options), 16 * kMiB);
    model_ = open("small");
    ASSERT_GT(model_, 0) << guest_->last_error();
    n_vocab_ = info().n_vocab;
  }
  void TearDown() override { guest_.reset(); }

  std::int32_t open(std::string_view name) {
    const std::uint32_t out = guest_->put_struct(std::int32_t{-5});
    const std::int32_t status =
        guest_->call("model_open", {guest_->put_text(name), static_cast<std::uint32_t>(name.size()), out});
    return status < 0 ? status : guest_->get<std::int32_t>(out, 1)[0];
  }
  std::uint32_t handle() const { return static_cast<std::uint32_t>(model_); }
  dw_model_info info() {
    dw_model_info told{};
    told.size = sizeof(told);
    const std::uint32_t out = guest_->put_struct(told);
    EXPECT_EQ(guest_->call("model_info", {handle(), out}), DW_OK);
    return guest_->get<dw_model_info>(out, 1)[0];
  }

  struct Context {
    std::uint32_t at = 0;
    std::uint32_t bytes = 0;
  };
  Context make_context(std::uint32_t n_ctx, std::uint32_t kv_type = DW_TYPE_F16) {
    const std::uint32_t params =
        guest_->put_struct(dw_context_params{sizeof(dw_context_params), model_, n_ctx, kv_type});
    const std::uint32_t out = guest_->put_struct(std::uint64_t{0});
    EXPECT_EQ(guest_->call("context_size", {params, out}), DW_OK) << guest_->last_error();
    Context context;
    context.bytes = static_cast<std::uint32_t>(guest_->get<std::uint64_t>(out, 1)[0]);
    context.at = guest_->allocate(context.bytes, DW_CONTEXT_ALIGNMENT);
    EXPECT_EQ(guest_->call("context_init", {params, context.at, context.bytes}), DW_OK) << guest_->last_error();
    return context;
  }
  std::uint32_t n_tokens(const Context& context) { return guest_->get<dw_context_header>(context.at, 1)[0].n_tokens; }

  dw_forward_desc describe(const Context& context, const std::vector<std::int32_t>& tokens, std::uint32_t outputs,
                           std::uint32_t logits_bytes, std::uint32_t top_k = 0) {
    return {.size = sizeof(dw_forward_desc),
            .model = model_,
            .context = context.at,
            .context_bytes = context.bytes,
            .tokens = guest_->put(tokens),
            .n_tokens = static_cast<std::uint32_t>(tokens.size()),
            .outputs = outputs,
            .top_k = top_k,
            .logits = guest_->allocate(logits_bytes),
            .logits_bytes = logits_bytes,
            .flags = 0};
  }
  std::int32_t run(const dw_forward_desc& desc) { return guest_->call("forward", {guest_->put_struct(desc)}); }
  std::vector<float> last_logits(const Context& context, const std::vector<std::int32_t>& tokens) {
    const dw_forward_desc desc = describe(context, tokens, DW_LOGITS_LAST, n_vocab_ * 4);
    EXPECT_EQ(run(desc), DW_OK) << guest_->last_error();
    return guest_->get<float>(desc.logits, n_vocab_);
  }

  TemporaryFolder folder_;
  std::unique_ptr<Device> device_;
  std::unique_ptr<ModelPool> pool_;
  std::vector<std::pair<std::uint32_t, std::uint32_t>> progress_;
  std::unique_ptr<FakeGuest> guest_;
  std::int32_t model_ = 0;
  std::uint32_t n_vocab_ = 0;
};

TEST_F(GuestModelCalls, OpenOnlyWhatWasGranted) {
  EXPECT_EQ(open("secret"), DW_E_NOT_FOUND);
  EXPECT_EQ(guest_->last_error(), "The model \"secret\" was not granted to this program; it may use: small.");
}

TEST_F(GuestModelCalls, TakeHandlesUntilAllAreTakenAndAgainWhenOneIsFree) {
  for (int i = 2; i <= DW_MAX_MODELS; ++i) ASSERT_EQ(open("small"), i);
  EXPECT_EQ(open("small"), DW_E_UNAVAILABLE);
  EXPECT_EQ(guest_->call("model_close", {17}), DW_OK);
  EXPECT_EQ(guest_->call("model_close", {17}), DW_E_INVALID_ARGUMENT);
  EXPECT_EQ(open("small"), 17);
}

TEST_F(GuestModelCalls, TellTheModelsNumbersAndHash) {
  const auto forward = pool_->open("small").value();
  const dw_model_info told = info();
  EXPECT_EQ(told.n_layer, forward->model().hyperparameters().n_layer);
  EXPECT_EQ(told.n_embd, forward->model().hyperparameters().n_embd);
  EXPECT_STREQ(told.architecture, "llama");
  EXPECT_EQ(std::memcmp(told.hash, forward->model().hash().bytes.data(), 32), 0);
}

TEST_F(GuestModelCalls, TokenizeAndBack) {
  const std::string text = "ab ab";
  const std::uint32_t at = guest_->put_text(text);
  const std::uint32_t tokens = guest_->allocate(64 * 4);
  const std::uint32_t length = static_cast<std::uint32_t>(text.size());
  const std::int32_t n = guest_->call("model_tokenize", {handle(), at, length, 0, tokens, 64});
  ASSERT_GT(n, 0) << guest_->last_error();
  EXPECT_EQ(guest_->call("model_tokenize", {handle(), at, length, 0, 0, 0}), n) << "asking for the size alone";
  const std::uint32_t buffer = guest_->allocate(64);
  const std::int32_t bytes =
      guest_->call("model_detokenize", {handle(), tokens, static_cast<std::uint32_t>(n), 0, buffer, 64});
  ASSERT_GT(bytes, 0);
  const auto back = guest_->get<char>(buffer, static_cast<std::size_t>(bytes));
  EXPECT_THAT(std::string(back.begin(), back.end()), HasSubstr("ab ab"));
  EXPECT_EQ(guest_->call("model_tokenize", {handle(), at, length, 4, tokens, 64}), DW_E_INVALID_ARGUMENT);
  EXPECT_THAT(guest_->last_error(), HasSubstr("(0x4) has bits outside 0x3"));
}

TEST_F(GuestModelCalls, RefuseTokensOutsideTheVocabulary) {
  for (const std::uint32_t wrong : {0xffffffffU, 0x80000000U, n_vocab_}) {
    EXPECT_EQ(guest_->call("model_is_end", {handle(), wrong}), DW_E_INVALID_ARGUMENT);
    const std::uint32_t tokens = guest_->put_struct(wrong);
    EXPECT_EQ(guest_->call("model_detokenize", {handle(), tokens, 1, 0, 0, 0}), DW_E_INVALID_ARGUMENT);
    const Context context = make_context(8);
    EXPECT_EQ(run(describe(context, {static_cast<std::int32_t>(wrong)}, DW_LOGITS_NONE, 0)), DW_E_INVALID_ARGUMENT);
    EXPECT_THAT(guest_->last_error(), StartsWith("Token 0 of dw_forward ("));
    EXPECT_EQ(n_tokens(context), 0U);
  }
}

TEST_F(GuestModelCalls, SpellAChat) {
  const std::uint32_t user = guest_->put_text("user");
  const std::uint32_t content = guest_->put_text("hello");
  const std::uint32_t messages = guest_->put_struct(dw_chat_message{user, 4, content, 5});
  const std::uint32_t buffer = guest_->allocate(256);
  const std::int32_t n = guest_->call("model_chat_template", {handle(), messages, 1, 1, buffer, 256});
  ASSERT_GT(n, 5) << guest_->last_error();
  const auto text = guest_->get<char>(buffer, static_cast<std::size_t>(n));
  EXPECT_THAT(std::string(text.begin(), text.end()), HasSubstr("hello"));
  const std::uint32_t wild = guest_->put_struct(dw_chat_message{user, 4, 0xfffffff0, 64});
  EXPECT_EQ(guest_->call("model_chat_template", {handle(), wild, 1, 1, buffer, 256}), DW_E_INVALID_ARGUMENT);
  EXPECT_THAT(guest_->last_error(), HasSubstr("\"messages.content\""));
}

TEST_F(GuestModelCalls, KindsOfOutputsAgree) {
  const std::vector<std::int32_t> tokens = {3, 1, 4, 1, 5};
  const std::vector<float> last = last_logits(make_context(16), tokens);
  dw_forward_desc all = describe(make_context(16), tokens, DW_LOGITS_ALL, n_vocab_ * 5 * 4);
  ASSERT_EQ(run(all), DW_OK) << guest_->last_error();
  const auto rows = guest_->get<float>(all.logits, std::size_t{n_vocab_} * 5);
  for (std::size_t i = 0; i < n_vocab_; ++i) EXPECT_NEAR(rows[std::size_t{n_vocab_} * 4 + i], last[i], 2e-2);
  const dw_forward_desc top = describe(make_context(16), tokens, DW_LOGITS_TOP_K, 3 * sizeof(dw_logit), 3);
  ASSERT_EQ(run(top), DW_OK) << guest_->last_error();
  const auto best = guest_->get<dw_logit>(top.logits, 3);
  EXPECT_EQ(best[0].token, std::max_element(last.begin(), last.end()) - last.begin());
  EXPECT_GE(best[0].logit, best[1].logit);
  EXPECT_GE(best[1].logit, best[2].logit);
  EXPECT_FALSE(progress_.empty());
  EXPECT_EQ(progress_.back(), (std::pair<std::uint32_t, std::uint32_t>{5, 5}));
}

TEST_F(GuestModelCalls, FullContextIsToldAndStaysAsItWas) {
  const Context context = make_context(4);
  last_logits(context, {1, 2, 3});
  EXPECT_EQ(run(describe(context, {4, 5}, DW_LOGITS_NONE, 0)), DW_E_INVALID_ARGUMENT);
  EXPECT_THAT(guest_->last_error(), HasSubstr("1"));
  EXPECT_EQ(n_tokens(context), 3U);
  last_logits(context, {4});
  EXPECT_EQ(n_tokens(context), 4U);
}

TEST_F(GuestModelCalls, TruncatedContextGoesOnAsIfTheRestHadNotBeen) {
  const Context context = make_context(16);
  last_logits(context, {1, 2});
  const std::vector<float> straight = last_logits(context, {3});
  last_logits(context, {9, 9});
  ASSERT_EQ(guest_->call("truncate", {handle(), context.at, context.bytes, 2}), DW_OK);
  EXPECT_EQ(last_logits(context, {3}), straight);
  EXPECT_EQ(guest_->call("truncate", {handle(), context.at, context.bytes, 4}), DW_E_INVALID_ARGUMENT);
  EXPECT_THAT(guest_->last_error(), HasSubstr("(4) is more than the Context holds (3)"));
}

TEST_F(GuestModelCalls, ContextThatTheGuestSpoiledIsRefused) {
  const Context context = make_context(16);
  for (std::size_t field = 0; field + 4 <= sizeof(dw_context_header); field += 4) {
    auto header = guest_->get<std::byte>(context.at, sizeof(dw_context_header));
    const auto sound = header;
    const std::uint32_t wild = 0xfffffff1;
    std::memcpy(header.data() + field, &wild, sizeof(wild));
    std::memcpy(guest_->memory().data() + context.at, header.data(), header.size());
    const std::int32_t status = run(describe(context, {1}, DW_LOGITS_NONE, 0));
    EXPECT_TRUE(status == DW_E_CORRUPT || status == DW_E_INCOMPATIBLE) << "field at " << field << ": " << status;
    std::memcpy(guest_->memory().data() + context.at, sound.data(), sound.size());
  }
  last_logits(context, {1});
}

TEST_F(GuestModelCalls, ContextsSizesAreHeldTo) {
  const Context context = make_context(16);
  const std::uint32_t params =
      guest_->put_struct(dw_context_params{sizeof(dw_context_params), model_, 16, DW_TYPE_F16});
  // Version 1 of a Context may take less room: an actor that was frozen then begins its Contexts anew where they lie.
  const auto header = guest_->get<dw_context_header>(context.at, 1)[0];
  EXPECT_EQ(header.version, DW_CONTEXT_VERSION);
  const auto record = static_cast<std::uint32_t>(align_up(2 * header.row_bytes * header.n_layer, 64U));
  ASSERT_LT(record, header.token_stride);
  const std::uint32_t least = DW_CONTEXT_ALIGNMENT + 16 * record;
  EXPECT_EQ(guest_->call("context_init", {params, context.at, least - 1}), DW_E_INVALID_ARGUMENT);
  EXPECT_THAT(guest_->last_error(), HasSubstr("is too small for a Context of 16 tokens"));
  const Context first{context.at, least};
  ASSERT_EQ(guest_->call("context_init", {params, first.at, first.bytes}), DW_OK) << guest_->last_error();
  EXPECT_EQ(guest_->get<dw_context_header>(first.at, 1)[0].version, 1U);
  last_logits(first, {1, 2});
  ASSERT_EQ(guest_->call("context_init", {params, context.at, context.bytes}), DW_OK) << guest_->last_error();
  dw_forward_desc desc = describe(context, {1}, DW_LOGITS_NONE, 0);
  desc.context_bytes -= 1;
  EXPECT_EQ(run(desc), DW_E_CORRUPT);
}

TEST_F(GuestModelCalls, CancelledPassLeavesTheContextAsItWas) {
  const Context context = make_context(16);
  last_logits(context, {1, 2});
  guest_->host().set_cancelled(true);
  EXPECT_EQ(run(describe(context, {3}, DW_LOGITS_NONE, 0)), DW_E_CANCELLED);
  guest_->host().set_cancelled(false);
  EXPECT_EQ(n_tokens(context), 2U);
  EXPECT_EQ(run(describe(context, {3}, DW_LOGITS_NONE, 0)), DW_OK);
}

TEST_F(GuestModelCalls, DroppedCachesChangeNothing) {
  const Context context = make_context(16);
  const std::vector<float> first = last_logits(context, {1, 2, 3});
  ASSERT_EQ(guest_->call("truncate", {handle(), context.at, context.bytes, 0}), DW_OK);
  guest_->host().drop_caches();
  EXPECT_EQ(last_logits(context, {1, 2, 3}), first);
}

}  // namespace
}  // namespace driftwood
