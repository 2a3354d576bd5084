// Files that actors have open: no part of what is frozen, so no freeze while there are any.
#include <filesystem>
#include <fstream>

#include "node_fixture.hpp"
#include "support/temporary_folder.hpp"

namespace driftwood {
namespace {

using namespace driftwood::testing;
using ::testing::HasSubstr;

class NodeFiles : public NodeTest {
 protected:
  void SetUp() override {
    std::ofstream(folder_.path() / "note.txt") << "left on the shore";
    std::filesystem::create_directory(folder_.path() / "inner");
  }
  ActorOptions with_folders() {
    ActorOptions given = options({.max_forks = 1});
    given.wasi.directories = {{folder_.path(), "/data", false}, {folder_.path() / "inner", "/inner", true}};
    return given;
  }
  ActorId spawn_with_folders() { return spawn(with_folders(), DW_TEST_FILES); }
  std::string reason(ActorId actor) {
    const auto snapshot = node_->freeze(actor);
    if (snapshot) return "";
    EXPECT_EQ(snapshot.error().code, ErrorCode::unavailable);
    return snapshot.error().message;
  }

  TemporaryFolder folder_;
};

TEST_F(NodeFiles, AnActorWithAFileOpenIsNotFrozenAndIsOnceItHasClosedIt) {
  make();
  const ActorId actor = spawn_with_folders();
  EXPECT_EQ(reason(actor), "");
  const std::string first = ask(actor, "open /data/note.txt");
  EXPECT_EQ(ask(actor, "read " + first), "left");
  EXPECT_EQ(reason(actor),
            "The actor cannot be frozen while it has a file or folder open; it can when it has closed it.");
  const std::string second = ask(actor, "open /data/inner");
  EXPECT_THAT(reason(actor), HasSubstr("2 files or folders open"));
  EXPECT_FALSE(node_->fork(actor, 1));
  EXPECT_EQ(ask(actor, "read " + first), " on ") << "a refusal changes nothing";
  ask(actor, "close " + first);
  EXPECT_THAT(reason(actor), HasSubstr("a file or folder open")) << "below it a number is free";
  ask(actor, "close " + second);
  EXPECT_EQ(reason(actor), "");
}

TEST_F(NodeFiles, AThawedActorOpensItsFilesAgainAndIsHeldToThemAgain) {
  make();
  const ActorId actor = spawn_with_folders();
  ask(actor, "close " + ask(actor, "open /data/note.txt"));
  ASSERT_TRUE(node_->put_away(actor));
  const std::string file = ask(actor, "open /data/note.txt");
  EXPECT_EQ(ask(actor, "read " + file), "left");
  EXPECT_THAT(reason(actor), HasSubstr("a file or folder open"));
}

TEST_F(NodeFiles, FilesInThePlacesOfStreamsAndGrantedFoldersAreSeen) {
  make();
  for (const char* place : {"0", "3", "4"}) {
    const ActorId actor = spawn_with_folders();
    ask(actor, "move " + ask(actor, "open /data/note.txt") + " " + place);
    EXPECT_EQ(ask(actor, std::string("read ") + place), "left");
    EXPECT_THAT(reason(actor), HasSubstr("a file or folder open")) << place;
  }
  const ActorId actor = spawn_with_folders();
  ask(actor, "move 3 " + ask(actor, "open /data/note.txt"));
  EXPECT_THAT(reason(actor), HasSubstr("a file or folder open")) << "the granted folder has another number";
}

TEST_F(NodeFiles, WhereTooManyAreAwakeItStaysSoUntilItHasClosedThem) {
  make({.max_awake = 1});
  const ActorId actor = spawn_with_folders();
  const std::string file = ask(actor, "open /data/note.txt");
  spawn();
  node_->wait_idle();
  EXPECT_EQ(state(actor), ActorState::at_rest);
  EXPECT_EQ(ask(actor, "read " + file), "left");
  ask(actor, "close " + file);
  node_->wait_idle();
  ask(spawn(), "notes");
  node_->wait_idle();
  EXPECT_EQ(state(actor), ActorState::frozen);
}

TEST_F(NodeFiles, AForkThatAnActorAsksForWithAFileOpenHasNoChildren) {
  make();
  const ActorId actor = spawn_with_folders();
  const std::string file = ask(actor, "open /data/note.txt");
  const ActorId child = std::stoull(ask(actor, "fork"));
  node_->wait_idle();
  EXPECT_EQ(state(child), ActorState::ended);
  EXPECT_THAT(value_of(node_->status(child)).ending->message, HasSubstr("a file or folder open"));
  EXPECT_EQ(ask(actor, "read " + file), "left");
}

}  // namespace
}  // namespace driftwood
