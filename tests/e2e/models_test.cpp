// driftwood models: names for model files, and what is no model file.
#include "e2e/cli.hpp"
#include "tools/random_model.hpp"

namespace driftwood::testing {
namespace {

using nlohmann::json;

class Models : public CliTest {
 protected:
  std::string tiny(const std::string& name = "Tiny Model.gguf", const std::string& architecture = "llama") {
    RandomModelOptions options;
    options.architecture = architecture;
    const auto path = folder() / name;
    const auto written = write_random_model(options, path);
    EXPECT_TRUE(written) << written.error().to_string();
    return path.string();
  }
};

TEST_F(Models, EmptyStoreSaysHowToFillIt) {
  EXPECT_NE(cli({"models"}).out.find("driftwood models fetch"), std::string::npos);
  const json list = json::parse(cli({"models", "--json"}).out);
  EXPECT_EQ(list["store"], store().string());
  EXPECT_TRUE(list["models"].empty());
}

TEST_F(Models, AddedModelIsListedShownAndForgottenButNotDeleted) {
  const std::string path = tiny();
  const json added = json::parse(cli({"models", "add", path, "--json"}).out);
  EXPECT_EQ(added["name"], "tiny-model");
  EXPECT_EQ(added["sha256"].get<std::string>().size(), 64U);

  const json list = json::parse(cli({"models", "list", "--json"}).out);
  ASSERT_EQ(list["models"].size(), 1U);
  EXPECT_EQ(list["models"][0], added);

  const json shown = json::parse(cli({"models", "show", "tiny-model", "--json"}).out);
  EXPECT_EQ(shown["architecture"], "llama");
  EXPECT_EQ(shown["sha256"], added["sha256"]);
  EXPECT_EQ(shown["bytes"], std::filesystem::file_size(path));
  EXPECT_EQ(shown["layers"], 2);
  EXPECT_GT(shown["parameters"], 0);

  EXPECT_EQ(cli({"models", "remove", "tiny-model"}).status, 0);
  EXPECT_TRUE(std::filesystem::exists(path));
  expect_sentence(cli({"models", "show", "tiny-model"}), kNotFound, "tiny-model");
}

TEST_F(Models, NameStandsForOneFile) {
  ASSERT_EQ(cli({"models", "add", tiny("one.gguf"), "--name", "m"}).status, 0);
  expect_sentence(cli({"models", "add", tiny("two.gguf"), "--name", "m"}), kInvalidArgument, "one.gguf");
  EXPECT_EQ(cli({"models", "add", (folder() / "one.gguf").string(), "--name", "m"}).status, 0);
  expect_sentence(cli({"models", "add", tiny("two.gguf"), "--name", "a/b"}), kInvalidArgument, "a/b");
  expect_sentence(cli({"models", "add", tiny("two.gguf"), "--name", "smollm2"}), kInvalidArgument, "smollm2");
}

TEST_F(Models, FileThatWentAwayIsNoticed) {
  const std::string path = tiny("one.gguf");
  ASSERT_EQ(cli({"models", "add", path}).status, 0);
  std::filesystem::remove(path);
  EXPECT_NE(cli({"models"}).out.find("missing"), std::string::npos);
  expect_sentence(cli({"models", "show", "one"}), kNotFound, "one.gguf");
}

TEST_F(Models, ShowTakesAPathToo) {
  const Outcome outcome = cli({"models", "show", tiny()});
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_NE(outcome.out.find("architecture  llama"), std::string::npos) << outcome.out;
}

TEST_F(Models, UnknownNameListsTheKnownOnes) {
  ASSERT_EQ(cli({"models", "add", tiny("one.gguf")}).status, 0);
  expect_sentence(cli({"models", "show", "two"}), kNotFound, "one");
  expect_sentence(cli({"models", "show", "/gone/two.gguf"}), kNotFound, "/gone/two.gguf");
  expect_sentence(cli({"models", "remove", "two"}), kNotFound, "two");
  expect_sentence(cli({"models", "fetch", "two"}), kNotFound, "smollm2");
}

TEST_F(Models, TruncatedFileIsCorruptAndGetsNoName) {
  const std::string whole = content_of(tiny());
  const std::string half = file("half.gguf", whole.substr(0, whole.size() / 2));
  for (const char* command : {"show", "add"}) {
    const Outcome outcome = cli({"models", command, half});
    expect_sentence(outcome, kCorrupt, "half.gguf");
  }
  expect_sentence(cli({"chat", "-m", half, "--prompt", "Hi"}), kCorrupt, "half.gguf");
  EXPECT_TRUE(json::parse(cli({"models", "--json"}).out)["models"].empty());
}

TEST_F(Models, WhatIsNotGgufIsCorrupt) {
  expect_sentence(cli({"models", "show", file("text.gguf", "Once upon a time")}), kCorrupt, "text.gguf");
  expect_sentence(cli({"models", "show", file("empty.gguf", "")}), kCorrupt, "empty.gguf");
  expect_sentence(cli({"models", "show", folder().string()}), kInvalidArgument, "folder");
}

TEST_F(Models, UnsupportedArchitectureIsNamed) {
  std::string bytes = content_of(tiny());
  // The value of general.architecture, and the prefix of the keys: as long, so that the file stays well-formed.
  for (std::size_t at = 0; (at = bytes.find("llama", at)) != std::string::npos;) bytes.replace(at, 5, "llamz");
  const std::string path = file("other.gguf", bytes);
  const json shown = json::parse(cli({"models", "show", path, "--json"}).out);
  EXPECT_EQ(shown["architecture"], "llamz");
  EXPECT_EQ(shown["supported"], false);
  expect_sentence(cli({"chat", "-m", path, "--prompt", "Hi"}), kUnsupported, "llamz");
}

TEST_F(Models, DamagedRegistryIsSaidAndLeftAlone) {
  std::filesystem::create_directories(store());
  const std::string registry = (store() / "registry.json").string();
  std::ofstream(registry) << "{\"models\": [{\"name\": 7}]}";
  expect_sentence(cli({"models"}), kCorrupt, "registry.json");
  expect_sentence(cli({"models", "add", tiny()}), kCorrupt, "registry.json");
  EXPECT_EQ(content_of(registry), "{\"models\": [{\"name\": 7}]}");
}

TEST_F(Models, ErrorsAreJsonToo) {
  const Outcome outcome = cli({"models", "show", "nobody", "--json"});
  EXPECT_EQ(outcome.status, kNotFound);
  EXPECT_EQ(json::parse(outcome.out)["error"]["code"], "not_found");
}

}  // namespace
}  // namespace driftwood::testing
