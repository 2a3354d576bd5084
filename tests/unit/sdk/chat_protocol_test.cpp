#include "chat/protocol.hpp"

#include <gtest/gtest.h>

namespace driftwood::chat {
namespace {

TEST(ChatProtocol, SettingsComeBackAsTheyWereSent) {
  Settings settings;
  settings.model = "smollm2";
  settings.n_ctx = 1024;
  settings.kv_type = "q8_0";
  settings.system = "Line one.\n\nA \\ and \\n: \"quoted\"\n";
  settings.when_full = "drop_oldest";
  settings.sampling.temperature = 0.65F;
  settings.sampling.presence_penalty = -1.5F;
  settings.sampling.seed = ~std::uint64_t{0};
  settings.sampling.stop = {"\n\n", "", "END"};
  const auto message = decode(encode(kConfigure, settings));
  ASSERT_TRUE(message.has_value());
  EXPECT_EQ(message->verb, kConfigure);
  const auto read = read_fields<Settings>(*message);
  ASSERT_TRUE(read.has_value());
  EXPECT_EQ(read->model, settings.model);
  EXPECT_EQ(read->n_ctx, settings.n_ctx);
  EXPECT_EQ(read->kv_type, settings.kv_type);
  EXPECT_EQ(read->system, settings.system);
  EXPECT_EQ(read->when_full, settings.when_full);
  EXPECT_FLOAT_EQ(read->sampling.temperature, settings.sampling.temperature);
  EXPECT_EQ(read->sampling.presence_penalty, settings.sampling.presence_penalty);
  EXPECT_EQ(read->sampling.seed, settings.sampling.seed);
  EXPECT_EQ(read->sampling.stop, settings.sampling.stop);
}

TEST(ChatProtocol, BodyIsRawAndMayHoldAnything) {
  const std::string body("\n\nline\\n\0\xff\n", 11);
  const auto message = decode(encode(kSay, body));
  ASSERT_TRUE(message.has_value());
  EXPECT_EQ(message->body, body);
}

TEST(ChatProtocol, MissingFieldsKeepTheirDefaultsAndUnknownOnesArePassedOver) {
  const auto message = decode("configure\nmodel a b\ncolour blue\ntop_k 7\n\n");
  ASSERT_TRUE(message.has_value());
  const auto settings = read_fields<Settings>(*message);
  ASSERT_TRUE(settings.has_value());
  EXPECT_EQ(settings->model, "a b");
  EXPECT_EQ(settings->sampling.top_k, 7u);
  EXPECT_EQ(settings->sampling.top_p, Sampling{}.top_p);
}

TEST(ChatProtocol, BrokenMessagesAreRefusedWithASentence) {
  for (const char* bytes : {"", "say", "say\n", "say\nkey value", "say\nkey value\n", "say\nkey\n\n"}) {
    const auto message = decode(bytes);
    ASSERT_FALSE(message.has_value()) << bytes;
    EXPECT_TRUE(message.error().ends_with('.'));
  }
}

TEST(ChatProtocol, NumbersThatDoNotFitAreRefused) {
  for (const char* field : {"top_k -1", "top_k 4294967296", "top_k 4x", "top_k ", "temperature ", "temperature -",
                            "temperature 1e3", "temperature nan", "temperature 1.", "temperature 1.-5",
                            "temperature --1", "temperature 1234567890", "temperature 0.1234567890", "seed -1"}) {
    const auto message = decode("configure\n" + std::string(field) + "\n\n");
    ASSERT_TRUE(message.has_value());
    EXPECT_FALSE(read_fields<Settings>(*message).has_value()) << field;
  }
  const auto message = decode("configure\ntemperature -12.0625\n\n");
  EXPECT_EQ(read_fields<Settings>(*message)->sampling.temperature, -12.0625F);
}

TEST(ChatProtocol, AnswerCarriesItsProof) {
  Answer answer;
  answer.finish = "stop";
  answer.generated_tokens = 12;
  answer.proof.host_base = 0x7fff'1234'0000u;
  answer.proof.sharing = "same_memory";
  const auto message = decode(encode(kAnswer, answer, "text"));
  ASSERT_TRUE(message.has_value());
  const auto read = read_fields<Answer>(*message);
  ASSERT_TRUE(read.has_value());
  EXPECT_EQ(read->finish, "stop");
  EXPECT_EQ(read->generated_tokens, 12u);
  EXPECT_EQ(read->proof.host_base, answer.proof.host_base);
  EXPECT_EQ(read->proof.sharing, "same_memory");
  EXPECT_EQ(message->body, "text");
}

}  // namespace
}  // namespace driftwood::chat
