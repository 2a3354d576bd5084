// Forks and checkpoints: asked for by a guest, and by the host.
#include "node_fixture.hpp"

namespace driftwood {
namespace {

using ::testing::ElementsAre;
using testing::Gate;
using ::testing::HasSubstr;
using testing::Replies;

class NodeForks : public testing::NodeTest {
 protected:
  ActorId spawn_forking(std::uint32_t max_forks, const char* wasm = DW_TEST_PEER) {
    return spawn(options({.max_forks = max_forks}), wasm);
  }
  std::string who(ActorId id, ActorId parent, int index) {
    return "id " + std::to_string(id) + " parent " + std::to_string(parent) + " index " + std::to_string(index) +
           " told " + std::to_string(index);
  }
};

TEST_F(NodeForks, ChildrenGoOnFromTheirParentAndKnowWhoTheyAre) {
  make();
  const ActorId parent = spawn_forking(4);
  ask(parent, "note before");
  const ActorId first = std::stoull(ask(parent, "fork-and-greet 3"));
  node_->wait_idle();
  ask(parent, "note after");
  EXPECT_EQ(node_->list().size(), 4U);
  for (int i = 0; i < 3; ++i) {
    const ActorId child = first + static_cast<ActorId>(i);
    EXPECT_EQ(ask(child, "notes"), "before forked hello ") << "it is told of the fork before its first message";
    EXPECT_EQ(ask(child, "who"), who(child, parent, i + 1));
    EXPECT_EQ(testing::value_of(node_->status(child)).parent, parent);
  }
  EXPECT_EQ(ask(parent, "notes"), "before after ");
  EXPECT_EQ(ask(parent, "who"), who(parent, 0, 0));
}

TEST_F(NodeForks, ChildrenForkAndEndOnTheirOwn) {
  make();
  const ActorId parent = spawn_forking(2);
  const ActorId child = std::stoull(ask(parent, "fork 2"));
  const ActorId grandchild = std::stoull(ask(child, "fork 1"));
  EXPECT_EQ(ask(grandchild, "who"), who(grandchild, child, 1));
  EXPECT_FALSE(node_->ask(child, "trap"));
  EXPECT_EQ(ask(grandchild, "notes"), "forked forked ");
  EXPECT_EQ(ask(child + 1, "notes"), "forked ");
  EXPECT_EQ(ask(parent, "notes"), "");
}

TEST_F(NodeForks, ChildrenShareTheWorkAndReport) {
  make();
  const ActorId parent = spawn_forking(64, DW_TEST_SQUARES);
  EXPECT_EQ(ask(parent, "sum 20"), "20");
  node_->wait_idle();
  EXPECT_EQ(ask(parent, "result"), "2870");
}

TEST_F(NodeForks, AChildThatCannotTakeNoteOfItsForkGoesOnAndTheHostHearsOfIt) {
  make();
  const ActorId parent = spawn_forking(1);
  ask(parent, "deaf");
  ::testing::internal::CaptureStderr();
  const ActorId child = std::stoull(ask(parent, "fork 1"));
  node_->wait_idle();
  EXPECT_THAT(::testing::internal::GetCapturedStderr(),
              HasSubstr("Actor " + std::to_string(child) +
                        " goes on as it was forked, since it failed to take note of "
                        "that: The program's handler returned the error 7."));
  EXPECT_EQ(ask(child, "notes"), "");
}

TEST_F(NodeForks, AHandlerThatFailsHasNoChildren) {
  make();
  const ActorId parent = spawn_forking(4);
  EXPECT_FALSE(node_->ask(parent, "fork-and-fail 3"));
  node_->wait_idle();
  EXPECT_EQ(node_->list().size(), 1U);
  EXPECT_EQ(node_->post(parent + 1, "count").error().code, ErrorCode::not_found);
  EXPECT_EQ(ask(parent, "fork 1"), std::to_string(parent + 4)) << "numbers are not used again";
}

TEST_F(NodeForks, NeedAGrantAndRoom) {
  make({.max_actors = 4});
  EXPECT_EQ(ask(spawn(), "fork 1"), "-2 Forks were not granted to this program.");
  const ActorId parent = spawn_forking(3);
  EXPECT_EQ(ask(parent, "fork 4"), "-1 The argument \"count\" of dw_fork (4) is not 1 to 3, as granted.");
  EXPECT_EQ(ask(parent, "fork 3"), "-9 The node has 2 actors, and may have 4: there is no room for 3 children.");
  ask(parent, "fork 2");
  EXPECT_EQ(node_->list().size(), 4U);
}

TEST_F(NodeForks, OneMessageForksOnce) {
  make();
  const ActorId parent = spawn_forking(4);
  ASSERT_TRUE(node_->ask(parent, "fork-twice"));
  EXPECT_EQ(node_->list().size(), 2U);
}

TEST_F(NodeForks, WildArgumentsAreErrors) {
  make({.keep_checkpoint = [](ActorId, Actor&, const Snapshot&) {}});
  const ActorId actor = spawn_forking(1024);
  EXPECT_EQ(ask(actor, "misuse"), "13");
  EXPECT_EQ(node_->list().size(), 1U);
}

TEST_F(NodeForks, CheckpointIsWhatTheActorWasWhenItAsked) {
  std::vector<Snapshot> kept;
  std::vector<ActorId> askers;
  make({.keep_checkpoint = [&](ActorId id, Actor& actor, const Snapshot& snapshot) {
    EXPECT_EQ(actor.state(), ActorState::at_rest);
    askers.push_back(id);
    kept.push_back(snapshot);
  }});
  const ActorId actor = spawn();
  ask(actor, "note one");
  EXPECT_EQ(ask(actor, "checkpoint first turn"), "ok");
  ask(actor, "note two");
  EXPECT_EQ(ask(actor, "notes"), "one two ");
  ASSERT_EQ(kept.size(), 1U);
  EXPECT_THAT(askers, ElementsAre(actor));
  EXPECT_EQ(kept[0].manifest.label, "first turn");
  const ActorId again = testing::value_of(node_->thaw(program(DW_TEST_PEER), kept[0], options()));
  EXPECT_NE(again, actor);
  EXPECT_EQ(ask(again, "notes"), "one ");
  EXPECT_EQ(ask(again, "count"), "4");
}

TEST_F(NodeForks, HostFreezesAndForksInTurn) {
  make();
  const ActorId actor = spawn();
  post(actor, "note one");
  const Snapshot snapshot = testing::value_of(node_->freeze(actor, "by hand"));
  EXPECT_EQ(snapshot.manifest.label, "by hand");
  post(actor, "note two");
  const auto children = testing::value_of(node_->fork(actor, 2));
  ask(actor, "note three");
  ASSERT_EQ(children.size(), 2U);
  EXPECT_EQ(ask(children[1], "notes"), "one two forked ");
  EXPECT_EQ(ask(children[1], "who"), who(children[1], actor, 2));
  EXPECT_EQ(ask(testing::value_of(node_->thaw(program(DW_TEST_PEER), snapshot, options())), "notes"), "one ");
  EXPECT_EQ(ask(actor, "notes"), "one two three ");
  EXPECT_EQ(node_->fork(actor, 0).error().code, ErrorCode::invalid_argument);
  EXPECT_EQ(node_->freeze(99).error().code, ErrorCode::not_found);
}

TEST_F(NodeForks, FamilyMayTalkWithoutAGrant) {
  make();
  const ActorId parent = spawn_forking(2);
  const ActorId child = std::stoull(ask(parent, "fork 2"));
  const auto send = [&](ActorId from, ActorId to) { return ask(from, "send " + std::to_string(to) + " note hi"); };
  EXPECT_EQ(send(parent, child), "ok");
  EXPECT_EQ(send(child, parent), "ok");
  EXPECT_THAT(send(child, child + 1), HasSubstr("was not granted"));
}

}  // namespace
}  // namespace driftwood
