// A whole actor of the time when version 1 was new: its program, and the snapshot that it was saved as. They are the
// probe that the tests of the command line use, and the output of
//
//   driftwood freeze actor_probe.wasm --deterministic=7 --name probe --label counted
//     --message count --message count --message random
//   driftwood snapshots export counted counted.dwsnap --zstd=19
#include "e2e/cli.hpp"

namespace driftwood::testing {
namespace {

using nlohmann::json;

class ActorVersion1 : public CliTest {
 protected:
  void SetUp() override {
    const Outcome imported = cli({"snapshots", "import", kFolder + "/counted.dwsnap"});
    ASSERT_EQ(imported.status, 0) << imported.err;
  }
  std::vector<std::string> thaw(std::vector<std::string> more) const {
    std::vector<std::string> arguments = {"thaw", "counted", "--program", kFolder + "/actor_probe.wasm"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return arguments;
  }
  json inspect(const std::string& name) const { return json::parse(cli({"inspect", name, "--json"}).out); }

  const std::string kFolder = DRIFTWOOD_TEST_V1 "/actor";
};

TEST_F(ActorVersion1, IsThawedAndGoesOn) {
  const Outcome first = cli(thaw({"--message", "count", "--save", "next"}));
  EXPECT_EQ(first.out, "3\n") << first.err;
  EXPECT_EQ(cli({"thaw", "next", "--message", "count"}).out, "4\n") << "its program is kept now";
}

TEST_F(ActorVersion1, HasTheMemoryAndGlobalsThatItWasSavedWith) {
  const json inspected = inspect("counted");
  EXPECT_EQ(inspected["memory_sha256"], "924f07f6d153e3cb937deec711dc53807a1a25f0a5a597a3a9cd6f9ea349dfd7");
  EXPECT_EQ(inspected["globals_sha256"], "85860071f964867cbc530caf0151cc7270e8e0ce91139d4e13d8149383f3d931");
}

/// Its seeded generator and its clock go on where they were.
TEST_F(ActorVersion1, SeesTheSameRandomNumbersAndTimeAsThen) {
  ASSERT_EQ(cli(thaw({"--message", "random", "--message", "clock", "--save", "next"})).status, 0);
  EXPECT_EQ(inspect("next")["memory_sha256"], "284051738d400d1f911f79fe188f759e031aeacc4c6591e938f9e9bdd06cf3b1");
}

}  // namespace
}  // namespace driftwood::testing
