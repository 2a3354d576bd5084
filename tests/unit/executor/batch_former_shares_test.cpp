// What each has of the passes beside others: by turns, and by priority.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <vector>

#include "unit/executor/batch_former_fixture.hpp"

namespace driftwood {
namespace {

TEST_F(BatchFormerTest, PromptsTakeTurns) {
  Requester large(20000), small(1000);
  for (int i = 0; i < 6; ++i) passes({&large});
  std::uint32_t rounds = 0;
  for (std::uint32_t done = 0; done < 1000; ++rounds) {
    const auto slices = passes({&large, &small});
    if (slices.contains(&small)) done += slices.at(&small);
    ASSERT_LE(rounds, 4U) << "the one that came later waits for the other";
  }
}

TEST_F(BatchFormerTest, WhoComesLaterIsNotPaidForTheTimeBefore) {
  Requester early(20000), late(20000);
  for (int i = 0; i < 6; ++i) passes({&early});
  std::map<const Requester*, std::uint32_t> had;
  for (int i = 0; i < 6; ++i) {
    for (const auto& [requester, n] : passes({&early, &late})) had[requester] += n;
  }
  EXPECT_GE(had[&early], 2 * 512U);
}

TEST_F(BatchFormerTest, WhatOneHadIsForgottenOnceItIsGoneForLongButNotWhileItWaits) {
  Requester again(30), other(20), fresh(4000);
  const auto brings_a_prompt = [&] {
    jobs_.clear();
    again.tokens.resize(4000);
    again.request.tokens = again.tokens;
  };
  EXPECT_EQ(pass({&again}).at(&again), 30U);
  brings_a_prompt();
  pass({&again, &fresh});
  EXPECT_NE(jobs_[&fresh]->piece(), 0U) << "who had less is first";
  former_ = BatchFormer({.chunk = 512, .max_sequences = 8, .piece_layers = kLayers});
  again.request.tokens = std::span(again.tokens).first(30);
  jobs_.clear();
  EXPECT_EQ(pass({&again}).at(&again), 30U);
  wait(11e6);
  EXPECT_EQ(pass({&other}).at(&other), 20U);
  brings_a_prompt();
  pass({&again, &fresh});
  EXPECT_NE(jobs_[&again]->piece(), 0U);

  // However long a pass takes.
  token_layer_us_ = 10e3;
  Requester patient(100000, -kMostPriority), urgent(4'000'000);
  jobs_.clear();
  passes({&patient});
  std::uint32_t had = 0;
  for (int i = 0; i < 200; ++i) {
    for (const auto& [requester, n] : passes({&patient, &urgent})) had += requester == &patient ? n : 0;
  }
  EXPECT_LE(had, 512U);
}

TEST_F(BatchFormerTest, EachStepOfPriorityDoublesWhatAPromptHasBesideDecodedTokens) {
  for (const int step : {-5, -4, -1, 0, 1, 2, 3}) {
    for (const int decoders : {-3, 0, 4}) {
      Requester decoder(1, static_cast<std::int8_t>(decoders));
      Requester prompt(1'000'000, static_cast<std::int8_t>(decoders + step));
      const double wanted = 0.5 * std::exp2(step);
      EXPECT_NEAR(delay(decoder, prompt) / wanted, 1, 0.25) << step << " above " << decoders;
      jobs_.clear();
    }
  }
}

TEST_F(BatchFormerTest, TheMostUrgentDecoderSaysWhatAPromptMayHave) {
  Requester urgent(1, 3), plain(1), prompt(1'000'000, 3);
  for (const auto& all : {std::vector{&urgent, &plain, &prompt}, std::vector{&plain, &urgent, &prompt}}) {
    for (int i = 0; i < 20; ++i) pass(all);
    double pieces = 0;
    for (int i = 0; i < 100; ++i) {
      pass(all);
      pieces += piece_us_;
    }
    EXPECT_NEAR(pieces / (100 * decode_us_), 0.5, 0.1);
  }
}

TEST_F(BatchFormerTest, APriorityBeyondTheMostIsTheMost) {
  Requester most(100000, kMostPriority), beyond(100000, 127);
  std::uint32_t had[2] = {};
  for (int i = 0; i < 50; ++i) {
    for (const auto& [requester, n] : passes({&most, &beyond})) had[requester == &most ? 0 : 1] += n;
  }
  EXPECT_NEAR(had[0], had[1], 512);
}

TEST_F(BatchFormerTest, PriorityGivesAShareAndStarvesNobody) {
  Requester urgent(100000, 2), plain(100000);
  std::uint32_t had[2] = {};
  for (int i = 0; i < 50; ++i) {
    for (const auto& [requester, n] : passes({&urgent, &plain})) had[requester == &urgent ? 0 : 1] += n;
  }
  EXPECT_NEAR(static_cast<double>(had[0]) / had[1], 4.0, 0.5);
}

TEST_F(BatchFormerTest, TheLeastPriorityBesideTheMostStillGetsOn) {
  Requester urgent(4'000'000, kMostPriority), patient(1000, -kMostPriority);
  std::uint32_t had[2] = {};
  for (int i = 0; i < 500; ++i) {
    for (const auto& [requester, n] : passes({&urgent, &patient})) had[requester == &urgent ? 0 : 1] += n;
  }
  EXPECT_GT(had[1], 0U);
  EXPECT_GT(had[0], 100 * had[1]);
}

TEST_F(BatchFormerTest, MoreDecodersThanFitTakeTurnsAndLeaveRoomForAPrompt) {
  std::vector<std::unique_ptr<Requester>> decoders;
  std::vector<Requester*> all;
  for (int i = 0; i < 20; ++i) {
    decoders.push_back(std::make_unique<Requester>(1));
    all.push_back(decoders.back().get());
  }
  Requester prompt(4000);
  all.push_back(&prompt);
  std::map<const Requester*, std::uint32_t> had;
  for (int i = 0; i < 50; ++i) {
    for (const auto& [requester, n] : pass(all)) had[requester] += n;
  }
  for (const auto& decoder : decoders) EXPECT_NEAR(had[decoder.get()], 50 * 8 / 20, 1);
  EXPECT_GT(had[&prompt], 100U);
}

}  // namespace
}  // namespace driftwood
