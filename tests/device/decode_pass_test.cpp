// Passes by a device's decoder, over mirrors or over the memory itself: as many actors as come at once get the same
// words, whatever room the mirrors have, and what fails on the way concerns those that it must and changes no bit.
#include <gtest/gtest.h>

#include <algorithm>
#include <optional>

#include "llm/passes.hpp"
#include "mirrored_model.hpp"
#include "support/sequence.hpp"

namespace driftwood {
namespace {

using namespace driftwood::testing;

class DecodePasses : public MirroredModel {
 protected:
  struct Side : OnDevice {
    std::unique_ptr<ModelPasses> passes;
  };

  void SetUp() override {
    MirroredModel::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    plain_ = open(0);
  }

  /// A device with a decoder, whose mirrors have room for so many chunks; 0: it has none.
  Side open(std::size_t chunks, bool decoder = true) const {
    Side side{open_model_on(chunks, decoder), nullptr};
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

TEST_F(DecodePasses, OfFewerRowsFollowOneWhoseStepFindsNoMemory) {
  const Side side = open(64);
  std::vector<Sequence> expected = prompts(plain_, std::array{50U, 60U, 70U, 80U});
  std::vector<Sequence> sequences = prompts(side, std::array{50U, 60U, 70U, 80U});
  // All four find none, two neither, one does.
  side.control->fail(NullStep::decode, 2, ErrorCode::out_of_memory);
  pass(plain_, expected, 0);
  for (const auto& done : pass(side, sequences, 0)) EXPECT_TRUE(done);
  for (std::size_t i = 0; i < 4; ++i) expect_same(sequences[i], expected[i], 51 + 10 * static_cast<std::uint32_t>(i));
  // One alone neither: it fails, not the three behind it.
  side.control->fail(NullStep::decode, 3, ErrorCode::out_of_memory);
  const auto one_fails = pass(side, sequences, 1);
  EXPECT_EQ(std::ranges::count_if(one_fails, [](const auto& done) { return !done; }), 1);
  EXPECT_EQ(one_fails.front().error().code, ErrorCode::out_of_memory);
}

TEST_F(DecodePasses, ReadAContextThatIsTooLargeForTheMirrorsWhereItLies) {
  const Side side = open(2);
  expect_same(side, std::array{20U, 300U, 30U, 200U});
  EXPECT_LE(side.use().chunks, 2);
}

TEST_F(DecodePasses, GraphsDecodeWhereTheDecodersWeightsFindNoRoom) {
  Side full = open(64, false);
  Side side = open(64);
  side.control->fail(NullStep::make_decoder, 1, ErrorCode::out_of_memory);
  side.passes = value_of(ModelPasses::create(side.model, {}));
  std::vector<Sequence> expected = prompts(full, std::array{50U});
  std::vector<Sequence> sequences = prompts(side, std::array{50U});
  pass(full, expected, 0);
  for (const auto& done : pass(side, sequences, 0)) EXPECT_TRUE(done);
  expect_same(sequences.front(), expected.front(), 51);
  side.control->fail(NullStep::make_decoder, 1, ErrorCode::device_lost);
  const auto lost = ModelPasses::create(side.model, {});
  ASSERT_FALSE(lost);
  EXPECT_EQ(lost.error().code, ErrorCode::device_lost);
}

struct FailingStep {
  const char* name;
  NullStep step;
  std::uint32_t n_tokens;  ///< of a pass that comes to it
};

class StepsOfAPass : public DecodePasses, public ::testing::WithParamInterface<FailingStep> {
 protected:
  static constexpr std::uint32_t kPast = 100;

  /// A thawed Context of which the guest has written a row, so that its next pass takes every step of the mirrors'.
  std::vector<Sequence> thawed(const Side& side) const {
    std::vector<Sequence> parents = prompts(side, std::array{kPast});
    const auto image = parents.front().freeze(*side.model);
    prompts(side, std::array{150U});  // leaves a span to be cleared
    std::vector<Sequence> children;
    children.emplace_back(*side.model, parents.front(), image);
    const auto& layout = children.front().layout();
    std::byte* const rows = children.front().context().data() + layout.kv_offset;
    std::ranges::copy_n(rows + 50 * layout.token_stride, layout.token_stride, rows + 5 * layout.token_stride);
    return children;
  }
  Result<void> pass_of(const Side& side, std::vector<Sequence>& sequence) const {
    return pass(side, sequence, 7, GetParam().n_tokens).front();
  }
  void expect_undisturbed(const Sequence& sequence) const {
    std::vector<Sequence> expected = thawed(plain_);
    ASSERT_TRUE(pass_of(plain_, expected));
    expect_same(sequence, expected.front(), kPast + GetParam().n_tokens);
  }
};

TEST_P(StepsOfAPass, ThatFailOnceChangeNoBitOfTheNextOne) {
  // The first time that a pass comes to the step, the second time, and so on until it comes to it no more.
  for (int after = 0;; ++after) {
    const Side side = open(64);
    std::vector<Sequence> sequence = thawed(side);
    side.control->fail(GetParam().step, 1, ErrorCode::internal, after);
    const auto failed = pass_of(side, sequence);
    if (failed && after > 0) break;
    ASSERT_FALSE(failed);
    EXPECT_EQ(failed.error().code, ErrorCode::internal);
    const auto again = pass_of(side, sequence);
    ASSERT_TRUE(again) << again.error().to_string();
    expect_undisturbed(sequence.front());
  }
}

TEST_P(StepsOfAPass, InWhichTheDeviceIsLostLoseItForAllAndNoRow) {
  const Side side = open(64);
  std::vector<Sequence> sequence = thawed(side);
  side.control->fail(GetParam().step, 1, ErrorCode::device_lost);
  for (const char* says : {"as it was told (device_lost)", "The device (null) was lost: open it again"}) {
    const auto lost = pass_of(side, sequence);
    ASSERT_FALSE(lost);
    EXPECT_EQ(lost.error().code, ErrorCode::device_lost);
    EXPECT_NE(lost.error().message.find(says), std::string::npos) << lost.error().message;
  }
  const auto region = value_of(Region::create({.reserve = page_size(), .commit = page_size()}));
  EXPECT_FALSE(side.device->import(*region, {0, page_size()}, Require::any));

  const Side other = open(64);
  std::vector<Sequence> moved;
  moved.emplace_back(*other.model, kCtx);
  std::ranges::copy(sequence.front().used(kPast), moved.front().context().begin());
  ASSERT_TRUE(pass_of(other, moved));
  expect_undisturbed(moved.front());
}

INSTANTIATE_TEST_SUITE_P(
    All, StepsOfAPass,
    ::testing::Values(FailingStep{"MakeChunk", NullStep::make_chunk, 1},
                      FailingStep{"MapChunk", NullStep::map_chunk, 1},
                      FailingStep{"ClearChunk", NullStep::clear_chunk, 1}, FailingStep{"CopyIn", NullStep::copy_in, 1},
                      FailingStep{"CopyWithin", NullStep::copy_within, 1}, FailingStep{"Decode", NullStep::decode, 1},
                      FailingStep{"MapChunkOfAGraph", NullStep::map_chunk, 2},
                      FailingStep{"Compute", NullStep::compute, 2},
                      FailingStep{"LateCompute", NullStep::late_compute, 2}, FailingStep{"Write", NullStep::write, 2},
                      FailingStep{"Adopt", NullStep::adopt, 2}, FailingStep{"CopyOut", NullStep::copy_out, 2}),
    [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace driftwood
