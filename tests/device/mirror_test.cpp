// Mirrors of KV rows: what a device computes over them is what it computes over the memory itself, bit for bit,
// whatever the guest does in between; forks share what they have in common; and the mirrors keep to their budget.
#include <gtest/gtest.h>

#include <algorithm>
#include <optional>

#include "mirrored_model.hpp"
#include "support/sequence.hpp"

namespace driftwood {
namespace {

using namespace driftwood::testing;

class MirroredForward : public MirroredModel {
 protected:
  static constexpr std::size_t kMirrorChunk = 64 * kKiB;  ///< the null device's

  struct Side : OnDevice {
    std::unique_ptr<Forward> forward;
  };

  void SetUp() override {
    MirroredModel::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    plain_ = open(0);
    mirrored_ = open(64);
  }

  Side open(std::size_t chunks) const {
    Side side{open_model_on(chunks, false), nullptr};
    side.forward = value_of(Forward::create(side.model));
    return side;
  }

  std::vector<float> run(const Side& side, Sequence& sequence, std::size_t first, std::size_t n) const {
    return copy(sequence.run(*side.forward, std::span(tokens_).subspan(first, n)));
  }
  MirrorUse use() const { return mirrored_.use(); }

  Side plain_;
  Side mirrored_;
};

/// The rows of both, after a header that differs by no byte either.
void expect_same_rows(const Sequence& a, const Sequence& b, std::uint32_t n_tokens) {
  EXPECT_TRUE(std::ranges::equal(a.used(n_tokens), b.used(n_tokens)));
}

TEST_F(MirroredForward, TheSameBitsAsOverTheMemoryItself) {
  Sequence plain(*plain_.model, kCtx);
  Sequence mirrored(*mirrored_.model, kCtx);
  std::uint32_t done = 0;
  for (const std::uint32_t n : {130U, 1U, 1U, 37U, 1U, 100U, 1U}) {
    ASSERT_EQ(run(mirrored_, mirrored, done, n), run(plain_, plain, done, n)) << "after " << done;
    done += n;
    expect_same_rows(mirrored, plain, done);
  }
  EXPECT_EQ(use().copied_in, 0) << "rows that the passes wrote were copied again";
  EXPECT_EQ(use().copied_out, std::size_t{done} * plain.layout().token_stride);
}

TEST_F(MirroredForward, WhatTheGuestWritesIsSeen) {
  Sequence plain(*plain_.model, kCtx);
  Sequence mirrored(*mirrored_.model, kCtx);
  run(plain_, plain, 0, 200);
  const std::vector<float> before = run(mirrored_, mirrored, 0, 200);
  for (const std::size_t victim : {199, 100, 0}) {
    for (Sequence* sequence : {&plain, &mirrored}) {
      const auto& layout = sequence->layout();
      std::byte* const rows = sequence->context().data() + layout.kv_offset;
      std::ranges::copy_n(rows + 50 * layout.token_stride, layout.token_stride, rows + victim * layout.token_stride);
    }
    const auto next = static_cast<std::size_t>(200);
    const std::uint64_t sent = use().copied_in;
    for (Sequence* sequence : {&plain, &mirrored}) set_context_tokens(sequence->context(), 200);
    ASSERT_EQ(run(mirrored_, mirrored, next, 1), run(plain_, plain, next, 1)) << victim;
    EXPECT_GT(use().copied_in, sent) << victim;
    EXPECT_LE(use().copied_in, sent + kMirrorChunk) << victim;
  }
}

TEST_F(MirroredForward, RewindingAndBeginningAnewWriteOverTheMirror) {
  Sequence plain(*plain_.model, kCtx);
  Sequence mirrored(*mirrored_.model, kCtx);
  for (const auto& [keep, first, n] : {std::array{0U, 0U, 300U}, {120U, 7U, 60U}, {0U, 30U, 20U}}) {
    for (Sequence* sequence : {&plain, &mirrored}) set_context_tokens(sequence->context(), keep);
    ASSERT_EQ(run(mirrored_, mirrored, first, n), run(plain_, plain, first, n)) << keep;
    expect_same_rows(mirrored, plain, keep + n);
  }
}

TEST_F(MirroredForward, AFreezeAfterEveryPassChangesNoBitAndCopiesNothing) {
  Sequence plain(*plain_.model, kCtx);
  Sequence mirrored(*mirrored_.model, kCtx);
  std::uint32_t done = 0;
  for (const std::uint32_t n : {130U, 1U, 60U, 1U, 1U}) {
    ASSERT_EQ(run(mirrored_, mirrored, done, n), run(plain_, plain, done, n)) << "after " << done;
    done += n;
    mirrored.freeze(*mirrored_.model);
    expect_same_rows(mirrored, plain, done);
  }
  EXPECT_EQ(use().copied_in, 0);
}

TEST_F(MirroredForward, AWriteJustBeforeAFreezeIsSeenAfterIt) {
  Sequence plain(*plain_.model, kCtx);
  Sequence mirrored(*mirrored_.model, kCtx);
  for (auto* pair : {&plain_, &mirrored_}) {
    Sequence& sequence = pair == &plain_ ? plain : mirrored;
    run(*pair, sequence, 0, 200);
    const auto& layout = sequence.layout();
    std::byte* const rows = sequence.context().data() + layout.kv_offset;
    std::ranges::copy_n(rows, layout.token_stride, rows + 150 * layout.token_stride);
    sequence.freeze(*pair->model);
  }
  EXPECT_EQ(run(mirrored_, mirrored, 200, 1), run(plain_, plain, 200, 1));
}

TEST_F(MirroredForward, ForksShareTheChunksOfTheirPrefix) {
  Sequence parent(*mirrored_.model, kCtx);
  run(mirrored_, parent, 0, 256);
  const std::size_t stride = parent.layout().token_stride;
  const auto image = parent.freeze(*mirrored_.model);
  const MirrorUse before = use();
  ASSERT_EQ(before.chunks, (256 * stride + before.chunk_size - 1) / before.chunk_size);
  Sequence fresh(*plain_.model, kCtx);
  run(plain_, fresh, 0, 256);
  const std::vector<float> expected = run(plain_, fresh, 256, 1);

  std::vector<Sequence> children;
  for (int i = 0; i < 5; ++i) children.emplace_back(*mirrored_.model, parent, image);
  for (Sequence& child : children) EXPECT_EQ(run(mirrored_, child, 256, 1), expected);
  const MirrorUse after = use();
  EXPECT_EQ(after.copied_in, 0) << "a shared prefix was copied from the host";
  EXPECT_EQ(after.mapped_chunks - before.mapped_chunks, 5 * ((257 * stride + after.chunk_size - 1) / after.chunk_size));
  EXPECT_LE(after.chunks - before.chunks, 5 * 1) << "each child owns more than the chunk that it writes";
  // They go on apart.
  for (std::size_t i = 0; i < children.size(); ++i) {
    Sequence alone(*plain_.model, kCtx);
    std::ranges::copy(children[i].used(257), alone.context().begin());
    EXPECT_EQ(run(mirrored_, children[i], 260 + i, 2), run(plain_, alone, 260 + i, 2));
  }
}

TEST_F(MirroredForward, AThawReadsTheImageWhereTheMirrorIsGone) {
  Sequence parent(*mirrored_.model, kCtx);
  run(mirrored_, parent, 0, 200);
  const auto image = parent.freeze(*mirrored_.model);
  mirrored_.device->mirrors()->drop();
  EXPECT_EQ(use().chunks, 0);
  Sequence fresh(*plain_.model, kCtx);
  run(plain_, fresh, 0, 200);
  Sequence thawed(*mirrored_.model, parent, image);
  EXPECT_EQ(run(mirrored_, thawed, 200, 1), run(plain_, fresh, 200, 1));
  EXPECT_EQ(use().copied_in, 200 * parent.layout().token_stride);
}

TEST_F(MirroredForward, AThawAfterAnotherMapsNothingAnew) {
  Sequence parent(*mirrored_.model, kCtx);
  run(mirrored_, parent, 0, 256);
  const auto image = parent.freeze(*mirrored_.model);
  Sequence fresh(*plain_.model, kCtx);
  run(plain_, fresh, 0, 256);
  const std::vector<float> expected = run(plain_, fresh, 256, 1);
  std::uint64_t maps = 0;
  for (int i = 0; i < 3; ++i) {
    Sequence thawed(*mirrored_.model, parent, image);
    EXPECT_EQ(run(mirrored_, thawed, 256, 1), expected);
    if (i > 0) {
      EXPECT_EQ(use().maps, maps);
    }
    maps = use().maps;
  }
  EXPECT_GT(maps, 0);
  EXPECT_EQ(use().copied_in, 0);
}

TEST_F(MirroredForward, ForgottenRowsAreCopiedToWhereOthersWere) {
  Sequence parent(*mirrored_.model, kCtx);
  run(mirrored_, parent, 0, 200);
  const auto image = parent.freeze(*mirrored_.model);
  Sequence fresh(*plain_.model, kCtx);
  run(plain_, fresh, 0, 200);
  mirrored_.device->mirrors()->forget();
  const MirrorUse before = use();
  Sequence thawed(*mirrored_.model, parent, image);
  EXPECT_EQ(run(mirrored_, thawed, 200, 1), run(plain_, fresh, 200, 1));
  EXPECT_EQ(use().copied_in, 200 * parent.layout().token_stride);
  EXPECT_EQ(use().maps, before.maps);
  EXPECT_EQ(use().chunks, before.chunks);
}

TEST_F(MirroredForward, WhatAnotherLeftBehindTheRowsIsCleared) {
  constexpr std::size_t kBytes = 4 * kMirrorChunk;
  constexpr std::size_t kRows = kMirrorChunk + 1000;
  const auto nothing = [](std::byte byte) { return byte == std::byte{}; };
  for (const std::byte fill : {std::byte{0x7f}, std::byte{1}}) {
    auto region = value_of(Region::create({.reserve = kBytes, .commit = kBytes}));
    std::ranges::fill(region->bytes(), fill);
    const Import import = value_of(mirrored_.device->import(*region, {0, kBytes}, Require::any));
    // The first one has rows everywhere.
    const std::size_t valid = fill == std::byte{0x7f} ? kBytes : kRows;
    const auto hold = value_of(mirrored_.device->mirrors()->prepare(
        {.memory = &import, .range = {0, kBytes}, .valid = valid, .end = std::min(valid + 100, kBytes)}));
    const std::span shown(hold.device(), align_up(valid, kMirrorChunk));
    EXPECT_TRUE(std::ranges::all_of(shown.first(valid), [&](std::byte byte) { return byte == fill; }));
    EXPECT_TRUE(std::ranges::all_of(shown.subspan(valid), nothing));
  }
}

TEST_F(MirroredForward, AFullCacheGivesTheMemoryOfWhoWaitedLongest) {
  const Side small = open(5);
  Sequence first(*small.model, kCtx);
  Sequence second(*small.model, kCtx);
  Sequence expected(*plain_.model, kCtx);
  run(small, first, 0, 200);
  EXPECT_EQ(run(small, second, 3, 200), run(plain_, expected, 3, 200));
  const MirrorUse use = small.use();
  EXPECT_EQ(use.evictions, 1);
  EXPECT_EQ(use.maps, use.chunks) << "what was mapped for the first was mapped anew for the second";
}

TEST_F(MirroredForward, ASmallBudgetEvictsWhoWaitedLongest) {
  const Side small = open(5);  // two sequences of 200 tokens do not fit
  std::vector<Sequence> sequences;
  std::vector<Sequence> expected;
  for (int i = 0; i < 3; ++i) {
    sequences.emplace_back(*small.model, kCtx);
    expected.emplace_back(*plain_.model, kCtx);
  }
  for (std::uint32_t done = 0; done < 200; done += 100) {
    for (std::size_t i = 0; i < sequences.size(); ++i) {
      ASSERT_EQ(run(small, sequences[i], done + i, 100), run(plain_, expected[i], done + i, 100));
    }
  }
  EXPECT_GT(small.use().evictions, 0);
  EXPECT_LE(small.use().chunks, 5);
}

TEST_F(MirroredForward, WhatDoesNotFitTheBudgetIsReadWhereItLies) {
  const Side tiny = open(2);
  Sequence plain(*plain_.model, kCtx);
  Sequence sequence(*tiny.model, kCtx);
  Sequence small(*tiny.model, kCtx);
  run(tiny, small, 0, 50);
  // Beyond the budget and back within it, where rows are others than the mirror had.
  for (const auto& [keep, first, n] : {std::array{0U, 0U, 120U}, {40U, 7U, 300U}, {90U, 1U, 1U}}) {
    for (Sequence* each : {&plain, &sequence}) set_context_tokens(each->context(), keep);
    ASSERT_EQ(run(tiny, sequence, first, n), run(plain_, plain, first, n)) << keep;
    expect_same_rows(sequence, plain, keep + n);
  }
  EXPECT_LE(tiny.use().chunks, 2);
}

TEST_F(MirroredForward, WhatCannotFitTakesNobodysRoom) {
  const Side tiny = open(2);
  Sequence small(*tiny.model, kCtx);
  Sequence large(*tiny.model, kCtx);
  run(tiny, small, 0, 50);
  run(tiny, large, 0, 300);
  EXPECT_EQ(tiny.use().evictions, 0);
  run(tiny, small, 50, 1);
  EXPECT_EQ(tiny.use().copied_in, 0);
}

TEST_F(MirroredForward, APassThatFailsLetsGoOfItsMirror) {
  const Side small = open(3);
  {
    Sequence failing(*small.model, kCtx);
    run(small, failing, 0, 150);
    small.control->fail_computes(1, ErrorCode::internal);
    ASSERT_FALSE(small.forward->run(failing.request(std::span(tokens_).first(1))));
    // Another takes its room while it lives, and again when it is gone.
    Sequence other(*small.model, kCtx);
    run(small, other, 0, 150);
    EXPECT_EQ(small.use().evictions, 1);
    small.control->fail_computes(1, ErrorCode::internal);
    ASSERT_FALSE(small.forward->run(other.request(std::span(tokens_).first(1))));
  }
  Sequence plain(*plain_.model, kCtx);
  Sequence last(*small.model, kCtx);
  EXPECT_EQ(run(small, last, 9, 150), run(plain_, plain, 9, 150));
  EXPECT_EQ(run(small, last, 9, 1), run(plain_, plain, 9, 1));
}

TEST_F(MirroredForward, AnotherRegionAtTheSameAddressHasAMirrorOfItsOwn) {
  Sequence expected(*plain_.model, kCtx);
  const std::vector<float> logits = run(plain_, expected, 5, 20);
  for (int i = 0; i < 4; ++i) {
    Sequence sequence(*mirrored_.model, kCtx);
    run(mirrored_, sequence, static_cast<std::size_t>(i) * 50, 100);
    set_context_tokens(sequence.context(), 0);
    EXPECT_EQ(run(mirrored_, sequence, 5, 20), logits);
  }
}

}  // namespace
}  // namespace driftwood
