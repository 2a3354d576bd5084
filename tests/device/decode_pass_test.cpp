// Passes by a device's decoder, over mirrors or over the memory itself: as many actors as come at once get the same
// words, whatever room the mirrors have, and what fails on the way concerns those that it must and changes no bit.
#include <gtest/gtest.h>

#include <algorithm>
#include <optional>

#include "device/mirror/mirror_cache.hpp"
#include "device/null/null_device.hpp"
#include "llm/passes.hpp"
#include "support/sequence.hpp"
#include "support/temporary_folder.hpp"
#include "tools/random_model.hpp"

namespace driftwood {
namespace {

using namespace driftwood::testing;

class DecodePasses : public ::testing::Test {
 protected:
  static constexpr std::uint32_t kCtx = 400;

  struct Side {
    std::shared_ptr<NullDeviceControl> control;
    std::unique_ptr<Device> device;
    std::shared_ptr<const Model> model;
    std::unique_ptr<ModelPasses> passes;

    MirrorUse use() const { return device->mirrors()->use(); }
  };

  void SetUp() override {
    if (const auto watch = PageWatch::create(); !watch) GTEST_SKIP() << watch.error().to_string();
    path_ = folder_.path() / "model.gguf";
    RandomModelOptions options = representative_options("llama");
    options.n_embd = 128;
    options.head_dim = 64;
    options.block_biases = false;  // which no decoder knows
    ASSERT_TRUE(write_random_model(options, path_));
    tokens_ = random_tokens(2 * kCtx, options.n_vocab);
    plain_ = open(0);
  }

  /// A device with a decoder, whose mirrors have room for so many chunks; 0: it has none.
  Side open(std::size_t chunks, bool decoder = true) const {
    Side side;
    side.control = std::make_shared<NullDeviceControl>(
        NullDeviceOptions{.host_kernels = false, .mirror_chunks = chunks, .decoder = decoder});
    side.device = value_of(create_null_device(side.control));
    side.model = open_model(path_, *side.device);
    side.passes = value_of(ModelPasses::create(side.model, {}));
    return side;
  }

  /// One pass in which each sequence gets its next tokens, `n` of them; how it ended for each.
  std::vector<Result<void>> pass(const Side& side, std::vector<Sequence>& sequences, std::size_t first,
                                 std::uint32_t n = 1) const {
    std::vector<ForwardRequest> requests;
    std::vector<ForwardJob> jobs;
    std::vector<PassSlice> slices;
    for (std::size_t i = 0; i < sequences.size(); ++i) {
      requests.push_back(sequences[i].request(std::span(tokens_).subspan(first + i, n)));
    }
    for (const ForwardRequest& request : requests) {
      auto& job = jobs.emplace_back(request);
      if (auto started = side.passes->start(job); !started) throw std::runtime_error(started.error().to_string());
    }
    for (ForwardJob& job : jobs) slices.push_back({&job, n});
    side.passes->run(slices);
    std::vector<Result<void>> results;
    for (const ForwardJob& job : jobs) results.push_back(job.result());
    return results;
  }

  /// Prompts of these lengths, a pass for each.
  std::vector<Sequence> prompts(const Side& side, std::span<const std::uint32_t> lengths) const {
    std::vector<Sequence> all;
    for (const std::uint32_t length : lengths) {
      std::vector<Sequence> one;
      one.emplace_back(*side.model, kCtx);
      for (const auto& done : pass(side, one, length, length)) EXPECT_TRUE(done) << done.error().to_string();
      all.push_back(std::move(one.front()));
    }
    return all;
  }

  /// Prompts, and then some passes of all, have the same results as where there are no mirrors.
  void expect_same(const Side& side, std::span<const std::uint32_t> lengths) const {
    std::vector<Sequence> expected = prompts(plain_, lengths);
    std::vector<Sequence> sequences = prompts(side, lengths);
    for (std::uint32_t turn = 0; turn < 3; ++turn) {
      pass(plain_, expected, turn);
      for (const auto& done : pass(side, sequences, turn)) ASSERT_TRUE(done) << done.error().to_string();
      for (std::size_t i = 0; i < lengths.size(); ++i) expect_same(sequences[i], expected[i], lengths[i] + turn + 1);
    }
  }
  static void expect_same(const Sequence& a, const Sequence& b, std::uint32_t n_tokens) {
    EXPECT_TRUE(std::ranges::equal(a.used(n_tokens), b.used(n_tokens))) << "rows of " << n_tokens << " tokens";
    EXPECT_TRUE(std::equal(a.logits(), a.logits() + sizeof(float), b.logits())) << "logits after " << n_tokens;
  }

  TemporaryFolder folder_;
  std::filesystem::path path_;
  std::vector<Token> tokens_;
  Side plain_;
};

TEST_F(DecodePasses, GiveTheSameBitsOverMirrorsAsOverTheMemoryItself) {
  const Side side = open(64);
  expect_same(side, std::array{100U, 37U, 1U, 130U, 64U, 90U});
  EXPECT_EQ(side.use().copied_in, 0) << "rows that the passes wrote were copied again";
}

TEST_F(DecodePasses, FailAsTheDecoderDoesAndChangeNoBit) {
  const Side side = open(64);
  std::vector<Sequence> expected = prompts(plain_, std::array{50U, 60U});
  std::vector<Sequence> sequences = prompts(side, std::array{50U, 60U});
  side.control->fail(NullStep::decode, 1, ErrorCode::internal);
  for (const auto& done : pass(side, sequences, 0)) {
    ASSERT_FALSE(done);
    EXPECT_EQ(done.error().message, "The device (null) failed a decoding step as it was told (internal).");
  }
  pass(plain_, expected, 0);
  for (const auto& done : pass(side, sequences, 0)) EXPECT_TRUE(done);
  for (std::size_t i = 0; i < 2; ++i) expect_same(sequences[i], expected[i], 51 + 10 * static_cast<std::uint32_t>(i));
}

TEST_F(DecodePasses, MoreActorsThanTheMirrorsHaveRoomForTakeTurns) {
  const Side side = open(5);
  expect_same(side, std::array{100U, 120U, 80U, 130U, 90U, 110U, 70U, 100U});
  EXPECT_GT(side.use().evictions, 0);
  EXPECT_LE(side.use().chunks, 5);
}

TEST_F(DecodePasses, ReadAContextThatIsTooLargeForTheMirrorsWhereItLies) {
  const Side side = open(2);
  expect_same(side, std::array{20U, 300U, 30U, 200U});
  EXPECT_LE(side.use().chunks, 2);
}

}  // namespace
}  // namespace driftwood
