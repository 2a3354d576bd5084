// Actors of a node that are frozen while nobody needs them, and thawed by their messages.
#include <algorithm>

#include "node_fixture.hpp"
#include "snapshot/store.hpp"
#include "support/temporary_folder.hpp"

namespace driftwood {
namespace {

using namespace driftwood::testing;
using ::testing::HasSubstr;

class NodeFrozen : public NodeTest {
 protected:
  std::size_t frozen() const {
    const auto rows = node_->list();
    return static_cast<std::size_t>(std::ranges::count(rows, ActorState::frozen, &ActorStatus::state));
  }
};

TEST_F(NodeFrozen, TheNextMessageFindsTheActorAsItWas) {
  make();
  const ActorId actor = spawn();
  ask(actor, "note one");
  ASSERT_TRUE(node_->put_away(actor));
  EXPECT_EQ(state(actor), ActorState::frozen);
  EXPECT_GT(value_of(node_->status(actor)).memory_bytes, 0U);
  ask(actor, "note two");
  node_->wait_idle();
  EXPECT_EQ(state(actor), ActorState::at_rest);
  EXPECT_EQ(ask(actor, "notes"), "one two ");
}

TEST_F(NodeFrozen, NoMoreAreAwakeThanMayBeAndTheOldestGoFirst) {
  make({.max_awake = 4});
  std::vector<ActorId> actors;
  for (int i = 0; i < 20; ++i) {
    actors.push_back(spawn());
    ask(actors.back(), "note " + std::to_string(i));
    node_->wait_idle();
  }
  EXPECT_EQ(frozen(), 16U);
  for (std::size_t i = 16; i < 20; ++i) EXPECT_EQ(state(actors[i]), ActorState::at_rest) << i;
  EXPECT_EQ(ask(actors[3], "notes"), "3 ");
  node_->wait_idle();
  EXPECT_EQ(frozen(), 16U);
  EXPECT_EQ(state(actors[16]), ActorState::frozen) << "it has rested for longest";
  for (std::size_t i = 0; i < 20; ++i) EXPECT_EQ(ask(actors[i], "notes"), std::to_string(i) + " ");
}

TEST_F(NodeFrozen, ABoundOnBytesFreezesToo) {
  make({.awake_bytes = 1});
  const ActorId first = spawn();
  const ActorId second = spawn();
  node_->wait_idle();
  EXPECT_EQ(frozen(), 2U);
  EXPECT_EQ(ask(first, "notes"), "");
  EXPECT_EQ(ask(second, "notes"), "");
}

TEST_F(NodeFrozen, ManyMessagesAtOnceFindEveryActor) {
  make({.max_awake = 3});
  std::vector<ActorId> actors;
  for (int i = 0; i < 12; ++i) actors.push_back(spawn());
  for (int round = 0; round < 30; ++round) {
    for (const ActorId actor : actors) ASSERT_TRUE(node_->post(actor, "note x"));
  }
  node_->wait_idle();
  std::string all;
  for (int round = 0; round < 30; ++round) all += "x ";
  for (const ActorId actor : actors) EXPECT_EQ(ask(actor, "notes"), all);
}

TEST_F(NodeFrozen, AFrozenActorIsFrozenForkedAndKilledLikeAnyOther) {
  make({.max_awake = 1});
  const ActorId actor = spawn();
  ask(actor, "note one");
  ASSERT_TRUE(node_->put_away(actor));
  EXPECT_TRUE(node_->freeze(actor));
  ASSERT_TRUE(node_->put_away(actor));
  const auto children = value_of(node_->fork(actor, 5));
  node_->wait_idle();
  EXPECT_EQ(frozen(), 5U);
  for (const ActorId child : children) EXPECT_EQ(ask(child, "notes"), "one forked ");
  ASSERT_TRUE(node_->put_away(actor));
  node_->wait_idle();
  ASSERT_TRUE(node_->kill(actor));
  EXPECT_EQ(state(actor), ActorState::ended);
  EXPECT_FALSE(node_->post(actor, "notes"));
}

TEST_F(NodeFrozen, TheSnapshotMayLieInAStore) {
  const TemporaryFolder folder;
  const auto store = value_of(Store::open({.folder = folder.path() / "store"}));
  make({.keep_frozen = [&](ActorId, const Snapshot& snapshot) -> Result<Snapshot> {
    DW_TRY_ASSIGN(const SnapshotId root, store->save(snapshot));
    DW_TRY_ASSIGN(Snapshot kept, store->load(root));
    kept.manifest.parent = root;
    return kept;
  }});
  const ActorId actor = spawn();
  for (const char* note : {"one", "two", "three"}) {
    ask(actor, std::string("note ") + note);
    ASSERT_TRUE(node_->put_away(actor));
  }
  EXPECT_EQ(value_of(store->list()).size(), 3U);
  EXPECT_EQ(ask(actor, "notes"), "one two three ");
}

TEST_F(NodeFrozen, WhereItCannotBeKeptElsewhereItStaysInMemory) {
  make({.keep_frozen = [](ActorId, const Snapshot&) -> Result<Snapshot> {
    return fail(ErrorCode::out_of_memory, "The disk is full.");
  }});
  const ActorId actor = spawn();
  ask(actor, "note one");
  ASSERT_TRUE(node_->put_away(actor));
  EXPECT_EQ(state(actor), ActorState::frozen);
  EXPECT_EQ(ask(actor, "notes"), "one ");
}

}  // namespace
}  // namespace driftwood
