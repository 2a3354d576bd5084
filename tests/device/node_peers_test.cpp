// Messages between the actors of a node.
#include "node_fixture.hpp"

namespace driftwood {
namespace {

using testing::Gate;
using ::testing::HasSubstr;
using testing::Replies;

class NodePeers : public testing::NodeTest {
 protected:
  static Grants all() { return {.peers = {.all = true, .listed = {}}}; }
  static Grants only(std::set<ActorId> peers) { return {.peers = {.all = false, .listed = std::move(peers)}}; }
};

TEST_F(NodePeers, RingOfTenPassesATokenAHundredTimes) {
  make({.threads = 3});
  std::vector<ActorId> ring;
  for (int i = 0; i < 10; ++i) ring.push_back(spawn(options(all())));
  for (std::size_t i = 0; i < ring.size(); ++i) ask(ring[i], "next " + std::to_string(ring[(i + 1) % ring.size()]));
  ask(ring[0], "token 100");
  node_->wait_idle();
  // Each has handled "next", ten tokens, and "count"; the first has also handled the last token.
  for (std::size_t i = 0; i < ring.size(); ++i) EXPECT_EQ(ask(ring[i], "count"), i == 0 ? "13" : "12") << i;
}

TEST_F(NodePeers, MessagesOfOneSenderArriveInOrder) {
  make();
  const ActorId from = spawn(options(all())), to = spawn();
  std::string expected;
  for (int i = 0; i < 50; ++i) {
    post(from, "send " + std::to_string(to) + " note " + std::to_string(i));
    expected += std::to_string(i) + " ";
  }
  node_->wait_idle();
  EXPECT_EQ(ask(to, "notes"), expected);
}

TEST_F(NodePeers, ReceiverKnowsTheSender) {
  make();
  const ActorId asking = spawn(options(all())), echo = spawn(options(only({asking})));
  EXPECT_EQ(ask(asking, "send " + std::to_string(echo) + " echo"), "ok");
  node_->wait_idle();
  EXPECT_EQ(ask(asking, "notes"), "echo-of-" + std::to_string(echo) + " ");
  const auto to_host = node_->ask(echo, "echo");
  EXPECT_FALSE(to_host) << "the host is no actor to send to";
}

TEST_F(NodePeers, ArriveOnlyWhenTheHandlerHasSucceeded) {
  make();
  const ActorId from = spawn(options(all())), to = spawn();
  const std::string message = std::to_string(to) + " note never";
  EXPECT_FALSE(node_->ask(from, "send-and-fail " + message));
  EXPECT_FALSE(node_->ask(from, "send-and-trap " + message));
  node_->wait_idle();
  EXPECT_EQ(ask(to, "notes"), "");
  EXPECT_EQ(ask(to, "count"), "2");
}

TEST_F(NodePeers, NeedAGrant) {
  make();
  const ActorId stranger = spawn(), friendly = spawn();
  const ActorId nobody = spawn(), choosy = spawn(options(only({friendly})));
  const auto send = [&](ActorId from, ActorId to) { return ask(from, "send " + std::to_string(to) + " note hi"); };
  EXPECT_EQ(send(nobody, stranger), "-2 Actor 1 was not granted to this one as a peer.");
  EXPECT_EQ(send(choosy, stranger), "-2 Actor 1 was not granted to this one as a peer.");
  EXPECT_EQ(send(nobody, 99), "-2 Actor 99 was not granted to this one as a peer.") << "tells nothing of who there is";
  EXPECT_EQ(send(choosy, friendly), "ok");
  node_->wait_idle();
  EXPECT_EQ(ask(stranger, "notes"), "");
  EXPECT_EQ(ask(friendly, "notes"), "hi ");
}

TEST_F(NodePeers, UnknownEndedAndOneselfAreErrors) {
  make();
  const ActorId from = spawn(options(all())), dead = spawn();
  ASSERT_TRUE(node_->kill(dead));
  EXPECT_EQ(ask(from, "send 99 x"), "-2 There is no actor 99.");
  EXPECT_EQ(ask(from, "send 0 x"), "-2 There is no actor 0.");
  EXPECT_EQ(ask(from, "send " + std::to_string(dead) + " x"), "-2 Actor 2 has ended.");
  EXPECT_EQ(ask(from, "send " + std::to_string(from) + " x"), "-1 An actor cannot send a message to itself.");
}

TEST_F(NodePeers, FullMailboxIsToldAtOnceAndPromisesCount) {
  make({.mailbox_messages = 2});
  const ActorId from = spawn(options(all())), other = spawn(options(all())), to = spawn();
  Gate gate;
  hold(to, gate);
  post(to, "count");
  // A place that is promised to a handler which has not ended yet is taken.
  Gate inside;
  Replies sent;
  MessageHandlers handlers = sent.handler();
  handlers.emit = [&](std::string_view) { inside.pass(); };
  post(from, "send-and-emit " + std::to_string(to) + " note first", handlers);
  ASSERT_TRUE(inside.arrived());
  EXPECT_EQ(ask(other, "send " + std::to_string(to) + " note second"),
            "-9 The mailbox of actor 3 is full: it holds 2 messages.");
  inside.open();
  gate.open();
  node_->wait_idle();
  EXPECT_EQ(sent.all()[0].value(), "ok");
  EXPECT_EQ(ask(to, "notes"), "first ");
}

TEST_F(NodePeers, AFailedHandlersPromisesAreGivenBack) {
  make({.mailbox_messages = 1});
  const ActorId from = spawn(options(all())), to = spawn();
  for (int i = 0; i < 3; ++i) EXPECT_FALSE(node_->ask(from, "send-and-fail " + std::to_string(to) + " note x"));
  EXPECT_EQ(ask(from, "send " + std::to_string(to) + " note y"), "ok");
  node_->wait_idle();
  EXPECT_EQ(ask(to, "notes"), "y ");
}

TEST_F(NodePeers, CountAgainstTheMemoryOfWaitingMessages) {
  make({.waiting_bytes = 700});
  const ActorId from = spawn(options(all())), to = spawn();
  const std::string sending = "emit-and-send " + std::to_string(to) + " " + std::string(600, '.');
  EXPECT_EQ(ask(from, sending), "ok");
  node_->wait_idle();
  Gate holding, filling;
  hold(to, holding);
  Replies replies;
  MessageHandlers handlers = replies.handler();
  handlers.emit = [&](std::string_view) { filling.pass(); };
  post(from, sending, handlers);
  ASSERT_TRUE(filling.arrived());
  post(to, std::string(650, '.'));
  filling.open();
  ask(from, "count");  // after it
  holding.open();
  node_->wait_idle();
  EXPECT_THAT(replies.all()[0].value(), HasSubstr("-9 The messages that wait in this node have "));
}

TEST_F(NodePeers, AnActorOutsideOfANodeHasNone) {
  const auto alone = testing::value_of(
      Actor::spawn(program(DW_TEST_PEER), options({.peers = {.all = true, .listed = {}}, .max_forks = 2})));
  EXPECT_EQ(alone->send("who").value(), "id 0 parent 0 index 0 told 0");
  EXPECT_THAT(alone->send("send 1 x").value(), HasSubstr("-9 dw_send works for an actor of a node only"));
  EXPECT_THAT(alone->send("fork 1").value(), HasSubstr("-9 dw_fork works for an actor of a node only"));
  EXPECT_THAT(alone->send("checkpoint here").value(), HasSubstr("-9 Nobody keeps checkpoints"));
}

}  // namespace
}  // namespace driftwood
