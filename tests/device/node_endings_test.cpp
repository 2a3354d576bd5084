// How actors of a node end: alone, by themselves, by a kill, or with the node.
#include <sys/mman.h>
#include <sys/resource.h>

#include <fstream>
#include <thread>

#include "node_fixture.hpp"
#include "support/sanitizers.hpp"

namespace driftwood {
namespace {

using std::chrono::milliseconds;
using ::testing::ElementsAre;
using testing::Gate;
using ::testing::HasSubstr;
using testing::Replies;

using NodeEndings = testing::NodeTest;

/// A way to end, and what the table then says.
struct Misdeed {
  std::string message;
  std::string reason;
};
class NodeMisdeeds : public testing::NodeTest, public ::testing::WithParamInterface<Misdeed> {};

TEST_P(NodeMisdeeds, EndOneActorWhileEightOthersGoOn) {
  make();
  ActorOptions limited = options();
  limited.limits.run_time = milliseconds(1000);
  limited.limits.memory_bytes = 4 << 20;
  const ActorId bad = spawn(limited);
  std::vector<ActorId> good;
  for (int i = 0; i < 8; ++i) good.push_back(spawn());

  Gate gate;
  hold(bad, gate);
  Replies its, theirs;
  post(bad, GetParam().message, its.handler("culprit"));
  post(bad, "count", its.handler("waiting"));
  for (int round = 0; round < 20; ++round) {
    for (const ActorId actor : good) post(actor, "count", theirs.handler());
  }
  gate.open();
  node_->wait_idle();

  ASSERT_THAT(its.names(), ElementsAre("culprit", "waiting"));
  for (const auto& reply : its.all()) {
    ASSERT_FALSE(reply);
    EXPECT_EQ(reply.error().code, ErrorCode::guest_trap);
    EXPECT_THAT(reply.error().message, HasSubstr(GetParam().reason));
  }
  EXPECT_THAT(its.all()[1].error().message, HasSubstr("Actor 1 has ended. The guest "));
  ASSERT_EQ(theirs.all().size(), 160U);
  for (const auto& reply : theirs.all()) EXPECT_TRUE(reply);
  for (const ActorId actor : good) EXPECT_EQ(ask(actor, "count"), "21");

  const ActorStatus row = testing::value_of(node_->status(bad));
  EXPECT_EQ(row.state, ActorState::ended);
  EXPECT_EQ(row.memory_bytes, 0U);
  ASSERT_TRUE(row.ending);
  EXPECT_THAT(row.ending->message, HasSubstr(GetParam().reason));
  const auto after = node_->post(bad, "count");
  ASSERT_FALSE(after);
  EXPECT_EQ(after.error().code, ErrorCode::guest_trap);
}

INSTANTIATE_TEST_SUITE_P(All, NodeMisdeeds,
                         ::testing::Values(Misdeed{"trap", "The guest trapped"},
                                           Misdeed{"loop", "The guest ran longer than its limit of 1000 ms"},
                                           Misdeed{"grow", "The guest trapped"}),
                         [](const auto& test) { return test.param.message; });

TEST_F(NodeEndings, RunTimeIsThatOfOneMessage) {
  make();
  ActorOptions limited = options();
  limited.limits.run_time = milliseconds(1000);
  const ActorId actor = spawn(limited);
  Replies replies;
  for (int i = 0; i < 8; ++i) {
    MessageHandlers handlers = replies.handler();
    handlers.emit = [](std::string_view) { std::this_thread::sleep_for(milliseconds(150)); };
    post(actor, "emit", handlers);
  }
  node_->wait_idle();
  for (const auto& reply : replies.all()) EXPECT_TRUE(reply) << reply.error().message;
  EXPECT_EQ(state(actor), ActorState::at_rest);
}

TEST_F(NodeEndings, MemoryLimitIsForTheLifeOfTheActor) {
  make();
  ActorOptions limited = options();
  limited.limits.memory_bytes = 4 << 20;
  const ActorId actor = spawn(limited);
  EXPECT_FALSE(node_->ask(actor, "grow"));
  EXPECT_EQ(ask(spawn(limited), "count"), "1");
}

TEST_F(NodeEndings, KillEndsAHandlerThatLoopsForEver) {
  make();
  const ActorId actor = spawn(), other = spawn();
  Gate looping;
  looping.open();
  Replies replies;
  MessageHandlers handlers = replies.handler("looping");
  handlers.emit = [&](std::string_view) { looping.pass(); };
  post(actor, "loop", handlers);
  post(actor, "count", replies.handler("waiting"));
  ASSERT_TRUE(looping.arrived());
  ASSERT_TRUE(node_->kill(actor));
  node_->wait_idle();
  EXPECT_THAT(replies.names(), ElementsAre("looping", "waiting"));
  EXPECT_EQ(replies.count(ErrorCode::cancelled), 2U);
  EXPECT_EQ(replies.all()[0].error().message, "The actor was killed.");
  EXPECT_EQ(replies.all()[1].error().message, "Actor 1 has ended. The actor was killed.");
  const ActorStatus row = testing::value_of(node_->status(actor));
  EXPECT_EQ(row.state, ActorState::ended);
  EXPECT_EQ(row.memory_bytes, 0U);
  EXPECT_EQ(ask(other, "count"), "1");
}

TEST_F(NodeEndings, KillIsNeverLostOnItsWayIntoTheGuest) {
  make();
  for (int i = 0; i < 300; ++i) {
    const ActorId actor = spawn();
    Replies replies;
    post(actor, "loop", replies.handler());
    const auto moment = std::chrono::steady_clock::now() + std::chrono::microseconds(i % 30 * 3);
    while (std::chrono::steady_clock::now() < moment) {
    }
    ASSERT_TRUE(node_->kill(actor));
    node_->wait_idle();
    ASSERT_EQ(replies.count(ErrorCode::cancelled), 1U);
  }
}

TEST_F(NodeEndings, KillOfAnActorWhoseMessagesWaitTellsTheirSenders) {
  make({.threads = 1});
  const ActorId holder = spawn(), queued = spawn(), rest = spawn();
  Gate gate;
  hold(holder, gate);
  Replies replies;
  post(queued, "note one", replies.handler("one"));
  post(queued, "note two", replies.handler("two"));
  ASSERT_TRUE(node_->kill(queued));
  ASSERT_TRUE(node_->kill(rest));
  EXPECT_THAT(replies.names(), ElementsAre("one", "two")) << "at once: no worker has the actor";
  EXPECT_EQ(state(queued), ActorState::ended);
  EXPECT_EQ(state(rest), ActorState::ended);
  EXPECT_TRUE(node_->kill(rest)) << "of an actor that has ended, it does nothing";
  EXPECT_EQ(node_->kill(99).error().code, ErrorCode::not_found);
  gate.open();
  node_->wait_idle();
}

TEST_F(NodeEndings, KillFromItsOwnHandlerLetsTheMessageBeAnswered) {
  make();
  const ActorId actor = spawn();
  Replies replies;
  Gate both_posted;
  MessageHandlers handlers{.emit = {}, .done = [&](Result<std::string> reply) {
                             both_posted.pass();
                             ASSERT_TRUE(node_->kill(actor));
                             replies.handler().done(std::move(reply));
                           }};
  post(actor, "count", handlers);
  post(actor, "count", replies.handler());
  both_posted.open();
  node_->wait_idle();
  ASSERT_EQ(replies.all().size(), 2U);
  EXPECT_EQ(replies.all()[0].value(), "1");
  EXPECT_EQ(replies.count(ErrorCode::cancelled), 1U);
  EXPECT_EQ(state(actor), ActorState::ended);
}

TEST_F(NodeEndings, TheEndOfTheNodeAnswersEveryMessageOnce) {
  Replies replies;
  Gate looping;
  looping.open();
  {
    make({.threads = 3});
    for (int i = 0; i < 6; ++i) {
      const ActorId actor = spawn();
      MessageHandlers handlers = replies.handler();
      handlers.emit = [&](std::string_view) { looping.pass(); };
      post(actor, "loop", handlers);
      for (int n = 0; n < 10; ++n) post(actor, "count", replies.handler());
    }
    ASSERT_TRUE(looping.arrived(3));
    node_.reset();
  }
  EXPECT_EQ(replies.all().size(), 66U);
  EXPECT_EQ(replies.count(ErrorCode::cancelled), 66U);
}

TEST_F(NodeEndings, ANodeThatWasShutDownTakesNothing) {
  make();
  const ActorId actor = spawn();
  node_->shutdown();
  EXPECT_EQ(node_->post(actor, "count").error().message, "Actor 1 has ended. The node was shut down.");
  const auto refused = node_->spawn(program(DW_TEST_PEER), options());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::unavailable);
  EXPECT_EQ(node_->list().size(), 1U);
  node_->wait_idle();
  node_->shutdown();
}

TEST_F(NodeEndings, OnlyTheLastOnesAreListed) {
  make({.ended_kept = 3});
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(node_->kill(spawn()));
  const ActorId alive = spawn();
  std::vector<ActorId> ids;
  for (const ActorStatus& row : node_->list()) ids.push_back(row.id);
  EXPECT_THAT(ids, ElementsAre(3, 4, 5, 6));
  EXPECT_EQ(node_->post(1, "count").error().code, ErrorCode::not_found);
  EXPECT_EQ(ask(alive, "count"), "1");
}

/// Spawns until it is refused, with a limit of 64 open files that cannot be raised.
void spawn_beyond_open_files(Engine& engine) {
  const rlimit limit{.rlim_cur = 32, .rlim_max = 64};
  if (setrlimit(RLIMIT_NOFILE, &limit) != 0) std::exit(1);
  const auto node = testing::value_of(Node::create());
  const auto program = testing::value_of(Program::load(engine, DW_TEST_PEER));
  for (int i = 1; i <= 64; ++i) {
    if (const auto actor = node->spawn(program, {}); !actor) {
      std::fprintf(stderr, "%d more than 32: %s\n", i > 32, actor.error().to_string().c_str());
      std::exit(0);
    }
  }
  std::exit(2);
}

TEST_F(NodeEndings, TooFewOpenFilesAreSaid) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(spawn_beyond_open_files(*engine_), ::testing::ExitedWithCode(0),
              "The system lets this process open 64 files, and each actor needs one: 4096 actors will not fit.\n(.*\n)*"
              "1 more than 32: .*the process may open 64 files.*; each actor needs one");
}

#if defined(__linux__)
/// Spawns where the process has as many mappings as it may.
void spawn_without_mappings(Engine& engine) {
  const auto node = testing::value_of(Node::create());
  const auto program = testing::value_of(Program::load(engine, DW_TEST_PEER));
  // Pages that alternate between two protections are mappings of their own.
  constexpr std::size_t kPage = 64 << 10, kPages = 2 << 20;
  void* const reserved = mmap(nullptr, kPage * kPages, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (reserved == MAP_FAILED) std::exit(1);
  std::size_t page = 1;
  while (page < kPages && mprotect(static_cast<char*>(reserved) + page * kPage, kPage, PROT_READ) == 0) page += 2;
  const auto actor = node->spawn(program, {});
  munmap(reserved, kPage * kPages);
  if (actor) std::exit(2);
  std::fprintf(stderr, "%s\n", actor.error().to_string().c_str());
  std::exit(0);
}

TEST_F(NodeEndings, TooFewMappingsAreSaid) {
#if DW_WITH_ASAN || DW_WITH_TSAN
  GTEST_SKIP() << "Sanitizers need mappings of their own.";
#endif
  std::size_t limit = 0;
  std::ifstream("/proc/sys/vm/max_map_count") >> limit;
  if (limit == 0 || limit > 1'000'000) GTEST_SKIP() << "The system allows " << limit << " mappings.";
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(spawn_without_mappings(*engine_), ::testing::ExitedWithCode(0),
              "and have " + std::to_string(limit) + " mappings .vm.max_map_count.; each actor needs");
}
#endif

}  // namespace
}  // namespace driftwood
