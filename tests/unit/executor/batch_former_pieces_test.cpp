// How much of a prompt is computed at a time.
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "unit/executor/batch_former_fixture.hpp"

namespace driftwood {
namespace {

TEST_F(BatchFormerTest, APromptTakesNoMoreThanItsPassMayLast) {
  Requester decoder(1), prompt(4000);
  for (int i = 0; i < 5; ++i) pass({&decoder});
  std::uint32_t done = 0;
  for (int i = 0; i < 40; ++i) {
    const auto slices = pass({&decoder, &prompt});
    EXPECT_TRUE(slices.contains(&decoder)) << i;
    EXPECT_LE(piece_us_, 5e3) << i;
    if (slices.contains(&prompt)) done += slices.at(&prompt);
  }
  EXPECT_GE(done, 36U * 4) << "the prompt goes on";
}

TEST_F(BatchFormerTest, APieceGoesOnThoughOthersHadLess) {
  Requester decoder(1), first(4000), second(4000);
  for (int i = 0; i < 5; ++i) pass({&decoder});
  std::map<const Requester*, std::uint32_t> had;
  for (int i = 0; i < 100; ++i) {
    for (const auto& [requester, n] : pass({&decoder, &first, &second})) had[requester] += n;
    EXPECT_FALSE(jobs_[&first]->piece() != 0 && jobs_[&second]->piece() != 0) << "two pieces at a time";
  }
  EXPECT_NEAR(had[&first], had[&second], 64);
  EXPECT_GT(had[&first], 100U);
}

TEST_F(BatchFormerTest, PiecesGrowToWholeChunksWhenNobodyDecodesAnyMore) {
  Requester decoder(1), prompt(100000);
  for (int i = 0; i < 5; ++i) pass({&decoder});
  for (int i = 0; i < 5; ++i) pass({&decoder, &prompt});
  std::uint32_t last = 0;
  const auto stopped = now_;
  while (last < 512) {
    const auto slices = passes({&prompt});
    EXPECT_GE(slices.at(&prompt), last);
    last = slices.at(&prompt);
    ASSERT_LE(now_ - stopped, std::chrono::seconds(2));
  }
}

TEST_F(BatchFormerTest, WhoDecodedLastAndBringsAPromptIsNotWaitedFor) {
  Requester actor(1);
  for (int i = 0; i < 5; ++i) pass({&actor});
  actor.tokens.resize(4000);
  actor.request.tokens = actor.tokens;
  EXPECT_EQ(passes({&actor}).at(&actor), 512U);
}

TEST_F(BatchFormerTest, WhoThinksBetweenTokensWaitsForNoMoreThanHalfItsTime) {
  for (const double speed : {1, 100}) {
    decode_us_ = 10e3 / speed;
    token_layer_us_ = 100 / speed;
    former_ = BatchFormer({.chunk = 512, .max_sequences = 8, .piece_layers = kLayers});
    for (const double think_us : {2e3 / speed, 20e3 / speed, 100e3 / speed}) {
      Requester decoder(1), prompt(1'000'000);
      jobs_.clear();
      for (int i = 0; i < 5; ++i) pass({&decoder});
      const auto begin = now_;
      std::uint32_t done = 0;
      for (int i = 0; i < 50; ++i) {
        const auto slices = pass({&decoder, &prompt});
        if (slices.contains(&prompt)) done += slices.at(&prompt);
        const auto back = now_ + duration(think_us - piece_us_);
        while (now_ < back) {
          for (const auto& [requester, n] : pass({&prompt})) done += n;
        }
        const double waited = std::chrono::duration<double, std::micro>(now_ - back).count();
        EXPECT_LE(waited, (decode_us_ + think_us) / 2 + 1) << "a token after " << think_us << " us";
      }
      const double us = std::chrono::duration<double, std::micro>(now_ - begin).count();
      EXPECT_GE(token_layer_us_ * kLayers * done, 0.8 * (us - 50 * decode_us_)) << "the prompt has the time between";
    }
  }
}

TEST_F(BatchFormerTest, WhoComesWhileALargeChunkIsOnItsWayWaitsForOneLayerAndHasItsShareThen) {
  Requester decoder(1), prompt(100000);
  pass({&prompt});
  pass({&prompt});
  ASSERT_EQ(jobs_[&prompt]->piece(), 512U);
  EXPECT_LE(piece_us_, 512 * 100);
  double pieces = 0;
  for (int i = 0; i < 100; ++i) {
    EXPECT_TRUE(pass({&decoder, &prompt}).contains(&decoder));
    EXPECT_LE(piece_us_, 512 * 100) << "one layer";
    pieces += piece_us_;
  }
  EXPECT_NEAR(pieces / (100 * 10e3), 0.5, 0.1);
}

TEST_F(BatchFormerTest, TheRestOfALayerThatMadeWayComesWithTheNextPass) {
  Requester decoder(1), prompt(100000);
  pass({&prompt});
  pass({&prompt});
  ASSERT_EQ(jobs_[&prompt]->piece(), 512U);
  for (piece_us_ = 0; piece_us_ == 0;) pass({&decoder, &prompt});
  // One more layer is allowed; it makes way, ends, and is paid for.
  std::optional<PassPiece> piece;
  std::vector<std::unique_ptr<ForwardJob>> decoded;
  const auto next = [&] {
    decoded.push_back(std::make_unique<ForwardJob>(decoder.request));
    ForwardJob* const list[] = {decoded.back().get(), jobs_[&prompt].get()};
    former_.next(list, now_);
    decoded.back()->advance(1);
    former_.note(decode_us_);
    piece = former_.piece();
    wait(decode_us_);
  };
  for (int i = 0; i < 20 && !piece; ++i) next();
  ASSERT_TRUE(piece);
  const std::uint32_t before = piece->job->layers_done();
  piece->job->advance_layers(512, before);
  former_.note_piece(20e3);
  next();
  ASSERT_TRUE(piece);
  EXPECT_EQ(piece->n_layers, 1U);
  piece->job->advance_layers(512, before + 1);
  former_.note_piece(30e3);
  for (int i = 0; i < 9; ++i) {
    next();
    EXPECT_FALSE(piece) << i;
  }
}

TEST_F(BatchFormerTest, PiecesBesideDecodersArePowersOfTwo) {
  Requester decoder(1), prompt(1'000'000);
  for (int i = 0; i < 5; ++i) pass({&decoder});
  for (int i = 0; i < 200; ++i) {
    pass({&decoder, &prompt});
    wait(137.0 * i);
    pass({&prompt});
    EXPECT_TRUE(std::has_single_bit(std::max(1U, jobs_[&prompt]->piece()))) << jobs_[&prompt]->piece();
  }
}

TEST_F(BatchFormerTest, ASmallPromptIsTakenWholeWhereItKeepsNobodyWaiting) {
  Requester decoder(1), small(20), large(4000);
  EXPECT_EQ(pass({&small}).at(&small), 20U);
  // With its pass comes a piece of another one.
  jobs_.clear();
  EXPECT_EQ(pass({&small, &large}).at(&small), 20U);
  EXPECT_NE(jobs_[&large]->layers_done(), 0U);
  jobs_.clear();
  for (int i = 0; i < 5; ++i) pass({&decoder});
  EXPECT_FALSE(pass({&decoder, &small}).contains(&small)) << "a decoded token would wait for two passes";
  EXPECT_LE(piece_us_, decode_us_ / 2);
}

TEST_F(BatchFormerTest, WhoHasTheRestOfAPromptIsNotWaitedFor) {
  Requester first(514), second(4000);
  EXPECT_EQ(passes({&first}).at(&first), 512U);
  EXPECT_EQ(passes({&first}).at(&first), 2U);
  EXPECT_EQ(passes({&second}).at(&second), 512U);
}

TEST_F(BatchFormerTest, APassWithAPromptInItSaysNothingOfDecodedTokens) {
  Requester first(514), small(32), decoder(1), prompt(100000);
  for (int i = 0; i < 10; ++i) {
    passes({&first});
    const auto slices = pass({&first, &small});
    EXPECT_EQ(slices.at(&first) + slices.at(&small), 34U);
  }
  EXPECT_TRUE(pass({&decoder, &prompt}).contains(&decoder));
  EXPECT_LE(piece_us_, decode_us_ / 2);
}

TEST_F(BatchFormerTest, WithoutPiecesOnePromptAtATimeHasAWholeChunkBesideDecodedTokens) {
  former_ = BatchFormer({.chunk = 512, .max_sequences = 8, .piece_layers = 0});
  Requester decoder(1), first(1000), second(1000);
  const std::vector<Requester*> all = {&decoder, &first, &second};
  using Slices = std::map<const Requester*, std::uint32_t>;
  EXPECT_EQ(pass(all), (Slices{{&decoder, 1}, {&first, 512}}));
  EXPECT_EQ(pass(all), (Slices{{&decoder, 1}, {&second, 512}}));
  EXPECT_EQ(pass(all), (Slices{{&decoder, 1}, {&first, 488}}));
  EXPECT_EQ(pass({&decoder, &second}), (Slices{{&decoder, 1}, {&second, 488}}));
}

TEST_F(BatchFormerTest, PiecesAreNoLargerThanAChunk) {
  former_ = BatchFormer({.chunk = 8, .max_sequences = 8, .piece_layers = kLayers});
  Requester decoder(1), prompt(20);
  for (int i = 0; i < 5; ++i) pass({&decoder});
  while (!jobs_[&prompt] || jobs_[&prompt]->left() != 0) {
    const auto slices = pass({&decoder, &prompt});
    EXPECT_LE(slices.contains(&prompt) ? slices.at(&prompt) : 0, 8U);
  }
  jobs_.clear();
  now_ += std::chrono::minutes(1);
  for (const std::uint32_t n : {8U, 8U, 4U}) EXPECT_EQ(passes({&prompt}).at(&prompt), n);
}

TEST_F(BatchFormerTest, OnlyWhatIsAPieceOnItsWayIsMeasured) {
  Requester decoder(1), prompt(100000);
  for (int i = 0; i < 5; ++i) pass({&decoder});
  for (int i = 0; i < 50; ++i) pass({&decoder, &prompt});
  const auto run = [&](ForwardJob& job, double us, const auto& end) {
    ForwardJob decoded(decoder.request);
    ForwardJob* const list[] = {&decoded, &job};
    former_.next(list, now_);
    decoded.advance(1);
    former_.note(decode_us_);
    const auto piece = former_.piece();
    ASSERT_TRUE(piece);
    end(*piece);
    former_.note_piece(us);
  };
  const auto ends = [](const PassPiece& piece) {
    piece.job->advance_layers(piece.n_tokens, piece.job->layers_done() + piece.n_layers);
  };
  const auto fails = [](const PassPiece& piece) { piece.job->fail({ErrorCode::device_lost, "Gone.", {}}); };
  const auto yields = [](const PassPiece& piece) {
    piece.job->advance_layers(piece.n_tokens, piece.job->layers_done());
  };
  for (int i = 0; i < 20; ++i) {
    ForwardJob begun(prompt.request), failed(prompt.request), cut(prompt.request);
    failed.advance_layers(16, 3);
    run(failed, 1, fails);
    // With the making of its graph.
    run(begun, 1e6, [&](const PassPiece& piece) {
      EXPECT_EQ(piece.n_layers, 3U) << "of its own, not what was left of the one before";
      ends(piece);
    });
    cut.advance_layers(16, 3);
    run(cut, 1, yields);
    run(cut, 1, ends);  // what was left of the layer
  }
  jobs_.clear();
  for (int i = 0; i < 20; ++i) {
    pass({&decoder, &prompt});
    EXPECT_GE(piece_us_, 1.6e3);
    EXPECT_LE(piece_us_, 5e3);
  }
}

}  // namespace
}  // namespace driftwood
