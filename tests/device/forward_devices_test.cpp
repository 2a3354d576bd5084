// The forward pass on devices that share memory in other ways, or fail.
#include <gtest/gtest.h>

#include <cstring>

#include "device/null/null_device.hpp"
#include "support/sequence.hpp"
#include "support/temporary_folder.hpp"
#include "tools/random_model.hpp"

namespace driftwood {
namespace {

using namespace driftwood::testing;

const ForwardOptions kGgml{.attention = AttentionKind::stock, .products = ProductKind::stock};

class ForwardDevices : public ::testing::Test {
 protected:
  void SetUp() override {
    path_ = folder_.path() / "model.gguf";
    RandomModelOptions options = representative_options("gemma3");
    options.n_embd = 128;
    options.head_dim = 32;
    const auto written = write_random_model(options, path_);
    ASSERT_TRUE(written) << written.error().to_string();
    tokens_ = random_tokens(40, options.n_vocab);
  }

  std::span<const Token> tokens(std::size_t first, std::size_t n) const { return std::span(tokens_).subspan(first, n); }

  TemporaryFolder folder_;
  std::filesystem::path path_;
  std::vector<Token> tokens_;
};

struct Kind {
  const char* name;
  NullDeviceOptions options;
};

class ForwardSharing : public ForwardDevices, public ::testing::WithParamInterface<Kind> {};

TEST_P(ForwardSharing, GivesTheCpusBits) {
  const auto cpu = value_of(open_device("cpu", {.threads = 1}));
  const auto cpu_model = open_model(path_, *cpu);
  const auto expected_forward = value_of(Forward::create(cpu_model, kGgml));
  Sequence expected(*cpu_model, 64);

  const auto device = value_of(create_null_device(std::make_shared<NullDeviceControl>(GetParam().options)));
  const auto model = open_model(path_, *device);
  const auto forward = value_of(Forward::create(model, kGgml));
  Sequence sequence(*model, 64);

  for (const auto& [first, n] : {std::pair(0, 20), std::pair(20, 1), std::pair(21, 7)}) {
    const auto theirs = expected.run(*expected_forward, tokens(first, n));
    const auto ours = sequence.run(*forward, tokens(first, n));
    EXPECT_EQ(std::memcmp(ours.data(), theirs.data(), theirs.size_bytes()), 0) << "from token " << first;
  }
  EXPECT_TRUE(std::ranges::equal(sequence.used(28), expected.used(28)));
}

TEST_P(ForwardSharing, RunsWithWhatTheDeviceCanDo) {
  const auto device = value_of(create_null_device(std::make_shared<NullDeviceControl>(GetParam().options)));
  const auto model = open_model(path_, *device);
  EXPECT_TRUE(Forward::create(model));
  for (const ForwardOptions& options :
       {ForwardOptions{.attention = AttentionKind::fused}, ForwardOptions{.products = ProductKind::packed}}) {
    const auto forward = Forward::create(model, options);
    ASSERT_EQ(forward.has_value(), GetParam().options.host_kernels);
    if (!forward) {
      EXPECT_EQ(forward.error().code, ErrorCode::unsupported);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Kinds, ForwardSharing,
                         ::testing::Values(Kind{"same_memory", {}},
                                           Kind{"over_bus",
                                                {.sharing = Sharing::mapped_over_bus, .host_kernels = false}},
                                           Kind{"copied", {.sharing = Sharing::copied, .host_kernels = false}}),
                         [](const auto& test) { return test.param.name; });

TEST_F(ForwardDevices, AFailedPassLeavesTheContextAsItWas) {
  const auto control = std::make_shared<NullDeviceControl>();
  const auto device = value_of(create_null_device(control));
  const auto model = open_model(path_, *device);
  const auto forward = value_of(Forward::create(model, {.chunk = 8, .strict = true}));
  Sequence sequence(*model, 64);
  Sequence undisturbed(*model, 64);
  sequence.run(*forward, tokens(0, 10));
  undisturbed.run(*forward, tokens(0, 10));

  control->fail_computes(1, ErrorCode::out_of_memory);
  const auto failed = forward->run(sequence.request(tokens(10, 20)));
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().code, ErrorCode::out_of_memory);
  EXPECT_EQ(value_of(check_context(sequence.context(), model->hyperparameters(), model->hash())).n_tokens, 10U);

  const auto again = copy(sequence.run(*forward, tokens(10, 20)));
  const auto expected = undisturbed.run(*forward, tokens(10, 20));
  EXPECT_EQ(std::memcmp(again.data(), expected.data(), expected.size_bytes()), 0);
}

TEST_F(ForwardDevices, AKernelThatFailsLateCostsNoTokens) {
  const auto control = std::make_shared<NullDeviceControl>();
  const auto device = value_of(create_null_device(control));
  const auto model = open_model(path_, *device);
  const auto forward = value_of(Forward::create(model, {.chunk = 8, .strict = true}));
  Sequence sequence(*model, 64);
  Sequence undisturbed(*model, 64);
  sequence.run(*forward, tokens(0, 10));
  undisturbed.run(*forward, tokens(0, 10));

  for (const ErrorCode code : {ErrorCode::out_of_memory, ErrorCode::internal}) {
    control->fail_computes_late(1, code);
    const auto failed = forward->run(sequence.request(tokens(10, 20)));
    ASSERT_FALSE(failed);
    EXPECT_EQ(failed.error().code, code);
    EXPECT_EQ(value_of(check_context(sequence.context(), model->hyperparameters(), model->hash())).n_tokens, 10U);
  }
  const auto again = copy(sequence.run(*forward, tokens(10, 20)));
  const auto expected = undisturbed.run(*forward, tokens(10, 20));
  EXPECT_EQ(std::memcmp(again.data(), expected.data(), expected.size_bytes()), 0);
  EXPECT_TRUE(std::ranges::equal(sequence.used(30), undisturbed.used(30)));
}

TEST_F(ForwardDevices, MemoryOfALostDeviceGoesOnOnAnother) {
  const auto open_null = [this](const std::shared_ptr<NullDeviceControl>& control) {
    auto device = value_of(create_null_device(control));
    auto model = open_model(path_, *device);
    return std::pair(std::move(device), std::move(model));
  };
  const auto control = std::make_shared<NullDeviceControl>();
  const auto [lost, lost_model] = open_null(control);
  const auto [other, other_model] = open_null(std::make_shared<NullDeviceControl>());
  const auto forward = value_of(Forward::create(lost_model));
  const auto other_forward = value_of(Forward::create(other_model));
  Sequence sequence(*lost_model, 64);
  Sequence undisturbed(*other_model, 64);
  sequence.run(*forward, tokens(0, 10));
  undisturbed.run(*other_forward, tokens(0, 10));

  control->fail_computes_late(1, ErrorCode::device_lost);
  EXPECT_EQ(forward->run(sequence.request(tokens(10, 5))).error().code, ErrorCode::device_lost);
  sequence.freeze(*other_model);
  const auto ours = copy(sequence.run(*other_forward, tokens(10, 5)));
  const auto expected = undisturbed.run(*other_forward, tokens(10, 5));
  EXPECT_EQ(std::memcmp(ours.data(), expected.data(), expected.size_bytes()), 0);
  EXPECT_TRUE(std::ranges::equal(sequence.used(15), undisturbed.used(15)));
}

TEST_F(ForwardDevices, ALostDeviceIsAnError) {
  const auto control = std::make_shared<NullDeviceControl>();
  const auto device = value_of(create_null_device(control));
  const auto model = open_model(path_, *device);
  const auto forward = value_of(Forward::create(model));
  Sequence sequence(*model, 64);
  control->fail_computes(1, ErrorCode::device_lost);
  EXPECT_EQ(forward->run(sequence.request(tokens(0, 4))).error().code, ErrorCode::device_lost);
  EXPECT_EQ(forward->run(sequence.request(tokens(0, 4))).error().code, ErrorCode::device_lost);
}

}  // namespace
}  // namespace driftwood
