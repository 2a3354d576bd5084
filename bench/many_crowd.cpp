// Thousands of actors: how soon a frozen one answers, and the memory of a live one.

#include <fmt/format.h>

#include <algorithm>
#include <thread>

#include "core/clock.hpp"
#include "guests/many.h"
#include "many.hpp"
#include "many_actors.hpp"
#include "private_memory.hpp"

namespace driftwood::bench {
namespace {

constexpr std::uint32_t kPrompt = 256;
constexpr std::uint32_t kForksAtOnce = 500;
constexpr std::size_t kAwake = 64;
constexpr std::uint32_t kShortText = 8;
// Longer than the pool's threads spin, so that both sides find them asleep.
constexpr std::chrono::milliseconds kRest{20};

struct FirstToken {
  double us = 0;  ///< from the message until it was there
  Token token = 0;
};

Result<FirstToken> first_token(ManyActors& actors, ActorId actor) {
  std::this_thread::sleep_for(kRest);
  std::atomic<double> us{0};
  const Stopwatch watch;
  DW_TRY_ASSIGN(const Token token,
                actors.ask(actor, {MANY_GENERATE, 1, {}}, [&](std::size_t) { us = watch.elapsed_us(); }));
  return FirstToken{us.load(), token};
}

/// An error where more than may be awake are.
Result<void> check_frozen(const Node& node, std::uint32_t crowd) {
  const auto all = node.list();
  const auto frozen = std::ranges::count(all, ActorState::frozen, &ActorStatus::state);
  if (static_cast<std::size_t>(frozen) + kAwake >= crowd) return {};
  return fail(ErrorCode::internal, fmt::format("{} actors of {} are frozen.", frozen, crowd));
}

Result<void> measure_waking(const ManySetup& setup, Report& report) {
  const std::uint32_t crowd = setup.short_run ? 1000 : 10000;
  const std::uint32_t samples = setup.short_run ? 10 : 60;
  say(fmt::format("many: {} frozen actors", crowd));
  DW_TRY_ASSIGN(const auto actors,
                ManyActors::create(setup.model, setup.threads, {.max_actors = crowd + 100, .max_awake = kAwake}));
  DW_TRY_ASSIGN(const ActorId parent, actors->spawn(kPrompt + 64));
  DW_TRY_ASSIGN(const Token follows,
                actors->ask(parent, {MANY_APPEND, kPrompt, {setup.text.begin(), setup.text.begin() + kPrompt}}));
  std::vector<ActorId> children;
  while (children.size() < crowd) {
    DW_TRY_ASSIGN(const auto made, actors->node().fork(parent, kForksAtOnce));
    children.insert(children.end(), made.begin(), made.end());
  }
  std::vector<ActorId> sampled;
  // Each has a token of its own, and so pages that no other has.
  for (std::uint32_t i = 0; i < samples; ++i) {
    const ActorId child = children[i * (crowd / samples)];
    DW_TRY(actors->ask(child, {MANY_GENERATE, 1, {}}));
    DW_TRY(actors->node().put_away(child));
    sampled.push_back(child);
  }
  actors->node().wait_idle();
  DW_TRY(check_frozen(actors->node(), crowd));
  std::vector<double> frozen;
  std::vector<double> awake;
  for (const ActorId child : sampled) {
    DW_TRY_ASSIGN(const auto status, actors->node().status(child));
    if (status.state != ActorState::frozen) {
      return fail(ErrorCode::internal, "An actor is awake that should be frozen.");
    }
    DW_TRY_ASSIGN(const FirstToken woken, first_token(*actors, child));
    DW_TRY(actors->ask(child, {MANY_REWIND, kPrompt, {}}));
    DW_TRY(actors->ask(child, {MANY_APPEND, 1, {follows}}));
    DW_TRY_ASSIGN(const FirstToken again, first_token(*actors, child));
    if (woken.token != again.token) {
      return fail(ErrorCode::internal,
                  fmt::format("A woken actor goes on with token {}, and the same one awake with {}.", woken.token,
                              again.token));
    }
    frozen.push_back(woken.us);
    awake.push_back(again.us);
  }
  report.add({.name = "wake_ratio",
              .unit = "ratio",
              .better = Better::less,
              .counts = fmt::format("from a message to its first token: one of {} actors that are frozen, forks of one "
                                    "prompt of {} tokens with a token of their own, over the same actor awake",
                                    crowd, kPrompt),
              .summary = summarize(pair_ratios(frozen, awake)),
              .goal = 1.2});
  report.add({.name = "wake_frozen_us",
              .unit = "us",
              .better = Better::less,
              .counts = "the first of the two",
              .summary = summarize(std::move(frozen)),
              .goal = {}});
  report.add({.name = "wake_awake_us",
              .unit = "us",
              .better = Better::less,
              .counts = "the second, the actor awake",
              .summary = summarize(std::move(awake)),
              .goal = {}});
  return {};
}

Result<void> measure_private_memory(const ManySetup& setup, Report& report) {
  constexpr std::uint32_t kParts = 10;
  const std::uint32_t part = setup.short_run ? 10 : 100;
  say(fmt::format("many: {} live actors", kParts * part));
  DW_TRY_ASSIGN(const auto actors, ManyActors::create(setup.model, setup.threads));
  const Order text{MANY_APPEND, kShortText, {setup.text.begin(), setup.text.begin() + kShortText}};
  const auto spawn = [&](std::uint32_t count) -> Result<void> {
    for (std::uint32_t i = 0; i < count; ++i) {
      DW_TRY_ASSIGN(const ActorId actor, actors->spawn(kPrompt));
      DW_TRY(actors->ask(actor, text));
      DW_TRY(actors->ask(actor, {MANY_GENERATE, 1, {}}));
    }
    return {};
  };
  DW_TRY_ASSIGN(const ContextLayout layout,
                make_context_layout(actors->model().hyperparameters(), kPrompt, KvType::f16));
  const double kv = layout.kv_offset + double{kShortText + 1} * layout.token_stride;
  DW_TRY(spawn(10));  // pay for what all share
  std::vector<double> each_mb;
  for (std::uint32_t i = 0; i < kParts; ++i) {
    DW_TRY_ASSIGN(const double before, private_bytes());
    DW_TRY(spawn(part));
    DW_TRY_ASSIGN(const double after, private_bytes());
    each_mb.push_back(((after - before) / part - kv) / 1e6);
  }
  report.add(
      {.name = "live_private_mb",
       .unit = "MB",
       .better = Better::less,
       .counts = fmt::format("private memory of the process (anonymous pages, memory files, page tables) for each "
                             "of {} more live actors that have decoded a token, less the {:.0f} KB of its KV rows; "
                             "of {} such parts",
                             part, kv / 1e3, kParts),
       .summary = summarize(std::move(each_mb)),
       .goal = 1});
  return {};
}

}  // namespace

Result<void> measure_crowd(const ManySetup& setup, Report& report) {
  DW_TRY(measure_waking(setup, report));
  return measure_private_memory(setup, report);
}

}  // namespace driftwood::bench
