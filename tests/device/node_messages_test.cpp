// A node's mailboxes and threads: order, parallelism, turns, bounds, cancelling.
#include <thread>

#include "hostcalls/guest_abi.hpp"
#include "node_fixture.hpp"
#include "support/many_memories.hpp"

namespace driftwood {
namespace {

using ::testing::ElementsAre;
using testing::Gate;
using ::testing::HasSubstr;
using testing::Replies;

using NodeMessages = testing::NodeTest;

TEST_F(NodeMessages, AreHandledInTheOrderOfOneActor) {
  make();
  const ActorId actor = spawn();
  Replies replies;
  std::string expected;
  std::vector<std::string> names;
  for (int i = 0; i < 500; ++i) {
    const std::string number = std::to_string(i);
    post(actor, "note " + number, replies.handler(number));
    expected += number + " ";
    names.push_back(number);
  }
  EXPECT_EQ(ask(actor, "notes"), expected);
  EXPECT_EQ(replies.names(), names);
}

TEST_F(NodeMessages, PiecesComeBeforeTheReply) {
  make();
  std::vector<std::string> heard;
  post(spawn(), "emit",
       {.emit = [&](std::string_view piece) { heard.emplace_back(piece); },
        .done = [&](Result<std::string> reply) { heard.push_back(testing::value_of(std::move(reply))); }});
  node_->wait_idle();
  EXPECT_THAT(heard, ElementsAre("here", "emitted"));
}

TEST_F(NodeMessages, OfDifferentActorsAreHandledAtTheSameTime) {
  make();
  Gate gate;
  for (int i = 0; i < 5; ++i) {
    post(spawn(), "emit", {.emit = [&](std::string_view) { gate.pass(); }, .done = {}});
  }
  EXPECT_TRUE(gate.arrived(5));
  gate.open();
  node_->wait_idle();
}

TEST_F(NodeMessages, ActorsTakeTurnsWhereThreadsAreFew) {
  make({.threads = 1});
  const ActorId holder = spawn(), a = spawn(), b = spawn();
  Gate gate;
  hold(holder, gate);
  Replies replies;
  for (int i = 0; i < 3; ++i) post(a, "count", replies.handler("a"));
  for (int i = 0; i < 3; ++i) post(b, "count", replies.handler("b"));
  gate.open();
  node_->wait_idle();
  EXPECT_THAT(replies.names(), ElementsAre("a", "b", "a", "b", "a", "b"));
}

TEST_F(NodeMessages, FromManyThreadsAllArrive) {
  make({.threads = 4});
  std::vector<ActorId> actors;
  for (int i = 0; i < 8; ++i) actors.push_back(spawn());
  std::vector<std::thread> senders;
  for (int i = 0; i < 6; ++i) {
    senders.emplace_back([&] {
      for (int round = 0; round < 25; ++round) {
        for (const ActorId actor : actors) ask(actor, "count");
      }
    });
  }
  for (std::thread& sender : senders) sender.join();
  for (const ActorId actor : actors) EXPECT_EQ(ask(actor, "count"), "151");
}

TEST_F(NodeMessages, ComputeOnWhicheverThreadHandlesThem) {
  device_ = testing::value_of(open_device("cpu", {.threads = 2}));
  make({.threads = 3});
  Replies replies;
  std::vector<ActorId> actors;
  for (int i = 0; i < 8; ++i) actors.push_back(spawn());
  for (int round = 0; round < 20; ++round) {
    for (const ActorId actor : actors) post(actor, "compute", replies.handler());
  }
  node_->wait_idle();
  ASSERT_EQ(replies.all().size(), 160U);
  for (const auto& reply : replies.all()) EXPECT_EQ(reply.value(), "right");
}

TEST_F(NodeMessages, HandlersMayUseTheNode) {
  make();
  const ActorId first = spawn(), second = spawn();
  Replies replies;
  post(first, "emit",
       {.emit = [&](std::string_view) { post(second, "note inside", replies.handler("emit")); },
        .done = [&](const Result<std::string>&) { post(first, "note after", replies.handler("done")); }});
  node_->wait_idle();
  EXPECT_EQ(replies.names().size(), 2U);
  EXPECT_EQ(ask(second, "notes"), "inside ");
  EXPECT_EQ(ask(first, "notes"), "after ");
}

TEST_F(NodeMessages, AnErrorOfTheHandlerEndsTheMessageAlone) {
  make();
  const ActorId actor = spawn();
  const auto failed = node_->ask(actor, "fail");
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().message, "The program's handler returned the error 7.");
  EXPECT_EQ(ask(actor, "count"), "2");
}

TEST_F(NodeMessages, AMailboxTakesSoManyOnly) {
  make({.mailbox_messages = 3});
  const ActorId actor = spawn(), other = spawn();
  Gate gate;
  hold(actor, gate);
  Replies replies;
  for (int i = 0; i < 3; ++i) post(actor, "count", replies.handler());
  EXPECT_EQ(testing::value_of(node_->status(actor)).waiting, 3U);
  const auto refused = node_->post(actor, "count", replies.handler());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::unavailable);
  EXPECT_EQ(refused.error().message, "The mailbox of actor 1 is full: it holds 3 messages.");
  EXPECT_EQ(ask(other, "count"), "1");
  gate.open();
  node_->wait_idle();
  EXPECT_EQ(replies.all().size(), 3U);
  EXPECT_EQ(ask(actor, "count"), "5");
}

TEST_F(NodeMessages, ThatWaitHaveSoManyBytesOnly) {
  make({.waiting_bytes = 1000});
  const ActorId actor = spawn(), other = spawn();
  Gate gate;
  hold(actor, gate);
  post(actor, std::string(600, ' '));
  const auto refused = node_->post(other, std::string(401, ' '));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::unavailable);
  EXPECT_EQ(refused.error().message,
            "The messages that wait in this node have 600 bytes; a message of 401 would make them more than 1000.");
  gate.open();
  node_->wait_idle();
  EXPECT_EQ(ask(other, std::string(1000, ' ')), "what?");
}

TEST_F(NodeMessages, HaveALargestSize) {
  make();
  const auto refused = node_->post(spawn(), std::string(DW_MAX_TEXT + 1, ' '));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::invalid_argument);
}

TEST_F(NodeMessages, CancelledWhileHandledEndsEarly) {
  make();
  const ActorId actor = spawn();
  Gate started;
  started.open();
  Replies replies;
  MessageHandlers handlers = replies.handler();
  handlers.emit = [&](std::string_view) { started.pass(); };
  const MessageId message = post(actor, "emit until cancelled", handlers);
  ASSERT_TRUE(started.arrived());
  ASSERT_TRUE(node_->cancel(actor, message));
  node_->wait_idle();
  ASSERT_EQ(replies.all().size(), 1U);
  EXPECT_EQ(replies.count(ErrorCode::cancelled), 1U);
  EXPECT_EQ(ask(actor, "emit"), "emitted");
}

TEST_F(NodeMessages, CancelledWhileWaitingIsNeverHandled) {
  make();
  const ActorId actor = spawn();
  Gate gate;
  hold(actor, gate);
  Replies replies;
  post(actor, "note one", replies.handler("one"));
  const MessageId second = post(actor, "note two", replies.handler("two"));
  post(actor, "note three", replies.handler("three"));
  ASSERT_TRUE(node_->cancel(actor, second));
  EXPECT_THAT(replies.names(), ElementsAre("two"));
  EXPECT_EQ(replies.count(ErrorCode::cancelled), 1U);
  gate.open();
  node_->wait_idle();
  EXPECT_TRUE(node_->cancel(actor, second)) << "of a message that is done, it does nothing";
  EXPECT_EQ(ask(actor, "notes"), "one three ");
}

TEST_F(NodeMessages, OneThousandActorsAtRestCostNoThread) {
  make();
  std::vector<ActorId> actors;
  for (int i = 0; i < testing::kManyMemories; ++i) actors.push_back(spawn());
  EXPECT_EQ(node_->threads(), 0U);
  Replies replies;
  for (const ActorId actor : actors) post(actor, "count", replies.handler());
  node_->wait_idle();
  EXPECT_LE(node_->threads(), 256U);
  ASSERT_EQ(replies.all().size(), actors.size());
  for (const auto& reply : replies.all()) EXPECT_EQ(reply.value(), "1");
  EXPECT_EQ(node_->list().size(), actors.size());
  for (int waits = 0; node_->threads() != 0 && waits < 600; ++waits) {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
  EXPECT_EQ(node_->threads(), 0U);
  EXPECT_EQ(ask(actors.back(), "count"), "2");
}

TEST_F(NodeMessages, TableShowsWhoDoesWhat) {
  make();
  ActorOptions named = options();
  named.name = "ann";
  named.program_name = "peer.wasm";
  const ActorId busy = spawn(named), idle = spawn();
  Gate gate;
  hold(busy, gate);
  post(busy, "count");
  const auto rows = node_->list();
  ASSERT_EQ(rows.size(), 2U);
  EXPECT_EQ(rows[0].id, busy);
  EXPECT_EQ(rows[0].name, "ann");
  EXPECT_EQ(rows[0].program_name, "peer.wasm");
  EXPECT_EQ(rows[0].program, program(DW_TEST_PEER)->hash());
  EXPECT_EQ(rows[0].state, ActorState::running);
  EXPECT_EQ(rows[0].waiting, 1U);
  EXPECT_GE(rows[0].memory_bytes, 65536U);
  EXPECT_EQ(rows[1].id, idle);
  EXPECT_EQ(rows[1].state, ActorState::at_rest);
  EXPECT_EQ(rows[1].waiting, 0U);
  gate.open();
  node_->wait_idle();
  EXPECT_EQ(state(busy), ActorState::at_rest);
}

TEST_F(NodeMessages, NeedAnActorThatThereIs) {
  make({.max_actors = 1});
  const auto refused = node_->post(7, "count");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::not_found);
  EXPECT_EQ(refused.error().message, "There is no actor 7 in this node.");
  const auto command = node_->spawn(program(DW_TEST_COMMAND), options());
  ASSERT_FALSE(command);
  EXPECT_EQ(command.error().code, ErrorCode::invalid_argument);
  spawn();
  const auto second = node_->spawn(program(DW_TEST_PEER), options());
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, ErrorCode::unavailable);
  EXPECT_EQ(second.error().message, "The node has 1 actors, and may have 1.");
}

TEST_F(NodeMessages, NodeRefusesImpossibleNumbers) {
  EXPECT_EQ(Node::create({.max_actors = 0}).error().message, "A node's max_actors (0) is not 1 to 1048576.");
  EXPECT_THAT(Node::create({.threads = 5000}).error().message, HasSubstr("threads (5000)"));
  EXPECT_THAT(Node::create({.mailbox_messages = 0}).error().message, HasSubstr("mailbox_messages (0)"));
  EXPECT_THAT(Node::create({.waiting_bytes = 0}).error().message, HasSubstr("waiting_bytes (0)"));
}

}  // namespace
}  // namespace driftwood
