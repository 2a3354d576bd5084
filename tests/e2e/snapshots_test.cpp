// driftwood snapshots: list, label, export, import, check, rm, collect.
#include <openssl/evp.h>
#include <openssl/pem.h>

#include <chrono>

#include "e2e/cli.hpp"

namespace driftwood::testing {
namespace {

using nlohmann::json;

class Snapshots : public CliTest {
 protected:
  /// Saves an actor under a label; its id.
  std::string save(const std::string& label) const {
    const Outcome outcome =
        cli({"freeze", DRIFTWOOD_ACTOR_PROBE, "--message", "count", "--label", label, "--name", "probe", "--json"});
    EXPECT_EQ(outcome.status, 0) << outcome.err;
    return json::parse(outcome.out)["snapshot"]["id"].get<std::string>();
  }
  json list() const { return json::parse(cli({"snapshots", "--json"}).out)["snapshots"]; }
  /// The snapshots that are files of the store.
  std::vector<std::filesystem::path> files() const {
    std::vector<std::filesystem::path> found;
    for (const char* folder_name : {"snapshots", "fresh"}) {
      const auto place = folder() / "data/driftwood/snapshots" / folder_name;
      for (const auto& entry : std::filesystem::directory_iterator(place)) found.push_back(entry.path());
    }
    return found;
  }
  /// Writes a key pair; the path of the private key, to which ".pub" is added for the other.
  std::string key(const std::string& name) const {
    const auto path = (folder() / name).string();
    EVP_PKEY* pair = EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519");
    FILE* secret = std::fopen(path.c_str(), "w");
    FILE* open = std::fopen((path + ".pub").c_str(), "w");
    PEM_write_PrivateKey(secret, pair, nullptr, nullptr, 0, nullptr, nullptr);
    PEM_write_PUBKEY(open, pair);
    std::fclose(secret);
    std::fclose(open);
    EVP_PKEY_free(pair);
    return path;
  }
};

TEST_F(Snapshots, ListShowsEachWithItsLabelProgramAndActor) {
  EXPECT_NE(cli({"snapshots"}).out.find("no snapshots yet"), std::string::npos);
  const std::string id = save("first");
  const std::string text = cli({"snapshots", "list"}).out;
  for (const std::string& part :
       {id.substr(0, 12), std::string("first"), std::string("actor_probe.wasm"), std::string("probe")}) {
    EXPECT_NE(text.find(part), std::string::npos) << part << " is not in " << text;
  }
  const json info = list().at(0);
  EXPECT_EQ(info["id"], id);
  EXPECT_EQ(info["actor"], "probe");
  EXPECT_GT(info["own_bytes"], 0);
  EXPECT_EQ(info["memory_bytes"].get<std::uint64_t>() % 65536, 0u);
}

TEST_F(Snapshots, LabelMovesAndGoes) {
  const std::string one = save("here");
  EXPECT_EQ(cli({"snapshots", "label", one, "there"}).status, 0);
  EXPECT_EQ(list().at(0)["labels"], json::array({"here", "there"}));
  EXPECT_EQ(cli({"snapshots", "label", "here", "--remove"}).status, 0);
  EXPECT_EQ(list().at(0)["labels"], json::array({"there"}));
  expect_sentence(cli({"snapshots", "label", "there"}), kInvalidArgument, "label");
  expect_sentence(cli({"snapshots", "label", "there", "not a label"}), kInvalidArgument, "not a label");
  expect_sentence(cli({"snapshots", "label", "gone", "other"}), kNotFound, "gone");
}

TEST_F(Snapshots, ExportedFileGoesOnInAnotherStore) {
  save("talk");
  for (const char* compression : {"--zstd", "--zstd=9", ""}) {
    const auto path = (folder() / ("talk" + std::string(compression) + ".dwsnap")).string();
    std::vector<std::string> arguments = {"snapshots", "export", "talk", path};
    if (*compression != '\0') arguments.emplace_back(compression);
    ASSERT_EQ(cli(arguments).status, 0);
    ASSERT_EQ(cli({"snapshots", "rm", "talk"}).status, 0);
    EXPECT_EQ(list().size(), 0u);
    const Outcome imported = cli({"snapshots", "import", path});
    EXPECT_EQ(imported.status, 0) << imported.err;
    EXPECT_EQ(cli({"thaw", "talk", "--message", "count"}).out, "2\n");
  }
}

TEST_F(Snapshots, SignatureDecidesWhatIsTrusted) {
  save("talk");
  const std::string mine = key("mine.pem");
  const std::string other = key("other.pem");
  const auto path = (folder() / "talk.dwsnap").string();
  const auto bare = (folder() / "bare.dwsnap").string();
  ASSERT_EQ(cli({"snapshots", "export", "talk", path, "--sign", mine}).status, 0);
  ASSERT_EQ(cli({"snapshots", "export", "talk", bare}).status, 0);
  ASSERT_EQ(cli({"snapshots", "rm", "talk"}).status, 0);
  expect_sentence(cli({"snapshots", "import", path, "--trust", other + ".pub"}), kInvalidArgument, "sign");
  expect_sentence(cli({"snapshots", "import", bare, "--trust", mine + ".pub"}), kInvalidArgument, "sign");
  EXPECT_EQ(list().size(), 0u);
  const Outcome imported = cli({"snapshots", "import", path, "--trust", mine + ".pub", "--json"});
  ASSERT_EQ(imported.status, 0) << imported.err;
  EXPECT_EQ(json::parse(imported.out)["signer"].get<std::string>().size(), 64u);
}

TEST_F(Snapshots, DamagedExportIsRefusedAndTheStoreStaysAsItWas) {
  save("talk");
  const auto path = (folder() / "talk.dwsnap").string();
  ASSERT_EQ(cli({"snapshots", "export", "talk", path}).status, 0);
  ASSERT_EQ(cli({"snapshots", "rm", "talk"}).status, 0);
  const std::string whole = content_of(path);
  std::string flipped = whole;
  flipped[whole.size() - 100] = static_cast<char>(flipped[whole.size() - 100] ^ 1);
  expect_sentence(cli({"snapshots", "import", file("flipped", flipped)}), kCorrupt, "flipped");
  expect_sentence(cli({"snapshots", "import", file("half", whole.substr(0, whole.size() / 2))}), kCorrupt, "half");
  expect_sentence(cli({"snapshots", "import", file("no", "This is no snapshot.")}), kCorrupt, "no");
  expect_sentence(cli({"snapshots", "import", (folder() / "gone").string()}), kNotFound, "gone");
  EXPECT_EQ(list().size(), 0u);
}

TEST_F(Snapshots, CheckFindsAFlippedBit) {
  save("talk");
  EXPECT_EQ(cli({"snapshots", "check"}).status, 0);
  const auto stored = files();
  ASSERT_EQ(stored.size(), 1u);
  std::string bytes = content_of(stored[0]);
  bytes[bytes.size() - 50] = static_cast<char>(bytes[bytes.size() - 50] ^ 1);
  std::filesystem::permissions(stored[0], std::filesystem::perms::owner_all);
  std::ofstream(stored[0], std::ios::binary) << bytes;
  const Outcome checked = cli({"snapshots", "check", "talk", "--json"});
  EXPECT_EQ(checked.status, kCorrupt);
  EXPECT_NE(json::parse(checked.out)["checked"][0]["damage"], "");
}

TEST_F(Snapshots, RemovedOnesAreGoneAndTheirChildrenStay) {
  save("parent");
  ASSERT_EQ(cli({"thaw", "parent", "--message", "count", "--save", "child"}).status, 0);
  EXPECT_EQ(cli({"snapshots", "rm", "parent"}).status, 0);
  expect_sentence(cli({"thaw", "parent"}), kNotFound, "parent");
  EXPECT_EQ(cli({"thaw", "child", "--message", "count"}).out, "3\n");
  EXPECT_EQ(cli({"snapshots", "rm", "child"}).status, 0);
  EXPECT_EQ(cli({"snapshots", "collect"}).status, 0);
  EXPECT_EQ(json::parse(cli({"snapshots", "--json"}).out)["bytes"], 0);
  expect_sentence(cli({"snapshots", "rm", "child"}), kNotFound, "child");
}

TEST_F(Snapshots, SeveralAreRemovedAtOnceAndOneThatIsNamedTwiceOnce) {
  const std::string parent = save("parent");
  ASSERT_EQ(cli({"thaw", "parent", "--message", "count", "--save", "child"}).status, 0);
  ASSERT_EQ(cli({"thaw", "child", "--message", "count", "--save", "grandchild"}).status, 0);
  const Outcome removed = cli({"snapshots", "rm", "parent", "child", parent, "--json"});
  ASSERT_EQ(removed.status, 0) << removed.err;
  EXPECT_EQ(json::parse(removed.out)["removed"].size(), 2u);
  EXPECT_EQ(list().size(), 1u);
  EXPECT_EQ(cli({"thaw", "grandchild", "--message", "count"}).out, "4\n");
}

/// A process that was killed left these, but for the last two, which one may be writing, and which is whole.
TEST_F(Snapshots, CollectRemovesWhatKilledProcessesLeft) {
  save("talk");
  const auto data = folder() / "data/driftwood";
  const auto begin = [](const std::filesystem::path& path, std::chrono::hours ago) {
    std::ofstream(path) << "half of it";
    std::filesystem::last_write_time(path, std::filesystem::file_time_type::clock::now() - ago);
    return path;
  };
  const auto snapshot = begin(data / "snapshots/writing/1-2", std::chrono::hours(0));
  const auto program = begin(data / "programs/.new-1-2", std::chrono::hours(25));
  const auto young = begin(data / "programs/.new-3-4", std::chrono::hours(23));
  const auto whole = begin(data / "programs/whole.wasm", std::chrono::hours(25));
  const Outcome collected = cli({"snapshots", "collect", "--json"});
  ASSERT_EQ(collected.status, 0) << collected.err;
  EXPECT_EQ(json::parse(collected.out), (json{{"files", 2}, {"bytes", 20}}));
  EXPECT_FALSE(std::filesystem::exists(snapshot) || std::filesystem::exists(program));
  EXPECT_TRUE(std::filesystem::exists(young) && std::filesystem::exists(whole));
  EXPECT_EQ(cli({"thaw", "talk", "--message", "count"}).out, "2\n");
}

}  // namespace
}  // namespace driftwood::testing
