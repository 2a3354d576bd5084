// driftwood kv: a saved actor's KV rows in a file that Python reads, and back, changed or not.
#ifdef __linux__
#include <sys/mount.h>
#endif
#include <sys/stat.h>

#include <cmath>
#include <cstring>

#include "core/hash.hpp"
#include "e2e/cli.hpp"
#include "snapshot/store.hpp"

namespace driftwood::testing {
namespace {

using nlohmann::json;
constexpr const char* kQuestion = "What is my name?";

double half(std::uint16_t bits) {
  const int exponent = bits >> 10 & 31;
  const double fraction = bits & 1023;
  const double sign = (bits & 0x8000) != 0 ? -1 : 1;
  return sign * (exponent == 0 ? std::ldexp(fraction, -24) : std::ldexp(1024 + fraction, exponent - 25));
}

class Kv : public CliModelTest {
 protected:
  Outcome with_model(std::vector<std::string> arguments) const {
    for (const char* more : {"-m", model_.c_str(), "--threads", "1"}) arguments.emplace_back(more);
    return cli(std::move(arguments));
  }
  json json_of(std::vector<std::string> arguments) const {
    arguments.emplace_back("--json");
    const Outcome outcome = with_model(std::move(arguments));
    EXPECT_EQ(outcome.status, 0) << outcome.err;
    return json::parse(outcome.out, nullptr, false);
  }
  /// A conversation under the label "talk".
  void save_talk(const char* kv_type = "f16") const {
    const Outcome outcome = with_model({"freeze", "--say", "My name is Ada.", "--label", "talk", "--temperature", "0",
                                        "--max-tokens", "16", "--ctx", "256", "--kv", kv_type});
    ASSERT_EQ(outcome.status, 0) << outcome.err;
  }
  /// The linear memory of a snapshot, as it lies in the store.
  std::vector<std::byte> memory_of(const std::string& name) const {
    const auto store = Store::open({.folder = folder() / "data/driftwood/snapshots"});
    const auto id = (*store)->resolve(name);
    EXPECT_TRUE(id) << id.error().to_string();
    const auto snapshot = (*store)->load(*id);
    EXPECT_TRUE(snapshot) << snapshot.error().to_string();
    std::vector<std::byte> memory(snapshot->memory->size());
    snapshot->memory->read({0, memory.size()}, memory);
    return memory;
  }
  std::string path(const std::string& name) const { return (folder() / name).string(); }

  static bool has_python(const char* package) {
    const char* packages = std::getenv("DRIFTWOOD_TEST_PYTHON");
    return packages != nullptr && std::filesystem::exists(std::filesystem::path(packages) / package);
  }
  Outcome python(std::vector<std::string> arguments) const {
    arguments.insert(arguments.begin(), {"/usr/bin/env", "python3", DRIFTWOOD_KV_FILE});
    return run_with_packages(std::move(arguments));
  }
  /// The only block of Python in docs/snapshots.md.
  static std::string documented_python() {
    const std::string text = content_of(DRIFTWOOD_SNAPSHOTS_DOC), begin = "```python\n";
    const std::size_t from = text.find(begin) + begin.size();
    EXPECT_EQ(text.find(begin), text.rfind(begin)) << "nobody runs a second one";
    return text.substr(from, text.find("```\n", from) - from);
  }
  static Outcome run_with_packages(std::vector<std::string> arguments) {
    const char* packages = std::getenv("DRIFTWOOD_TEST_PYTHON");
    return run({.arguments = std::move(arguments), .environment = {{"PYTHONPATH", packages}}, .input = {}});
  }
};

/// Whether tests that lack what they need fail: where they decide over a change.
bool nothing_is_skipped() {
  const char* preset = std::getenv("DRIFTWOOD_PRESET");
  return preset != nullptr && std::string_view(preset) == "ci";
}

#define NEEDS_PYTHON(package)                                                                  \
  if (!has_python(package)) {                                                                  \
    const char* reason = "Python's " package " package is not here; scripts/test.sh gets it."; \
    ASSERT_FALSE(nothing_is_skipped()) << reason;                                              \
    GTEST_SKIP() << reason;                                                                    \
  }

TEST_F(Kv, PythonReadsTheRowsThatLieInMemory) {
  NEEDS_PYTHON("safetensors");
  save_talk();
  const json exported = json_of({"kv", "export", "talk", "-o", path("talk.safetensors")});
  const Outcome outcome = python({"read", path("talk.safetensors")});
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  const json file = json::parse(outcome.out);
  EXPECT_EQ(file["metadata"]["model_sha256"], exported["context"]["model"]["sha256"]);
  EXPECT_EQ(file["metadata"]["snapshot"], exported["snapshot"]);
  EXPECT_EQ(file["metadata"]["rope"], "applied to keys; token i is at position i");

  const auto memory = memory_of("talk");
  const json& context = exported["context"];
  const std::size_t n_tokens = context["n_tokens"], kRow = 3 * 64;
  ASSERT_GT(n_tokens, 20u);
  EXPECT_EQ(file["tensors"]["tokens"]["shape"], json::array({n_tokens}));
  EXPECT_EQ(file["tensors"]["tokens"]["values"][0], 1);  // <|im_start|>
  for (const std::size_t layer : {0, 17, 29}) {
    for (const std::size_t value : {0, 1}) {
      const json& tensor = file["tensors"]["layers." + std::to_string(layer) + (value == 0 ? ".key" : ".value")];
      ASSERT_EQ(tensor["shape"], json::array({n_tokens, 3, 64}));
      for (std::size_t token = 0; token < n_tokens; ++token) {
        const std::size_t row = context["offset"].get<std::size_t>() + context["kv_offset"].get<std::size_t>() +
                                token * context["token_stride"].get<std::size_t>() + (2 * layer + value) * 2 * kRow;
        for (std::size_t i = 0; i < kRow; ++i) {
          std::uint16_t bits = 0;
          std::memcpy(&bits, memory.data() + row + 2 * i, sizeof(bits));
          ASSERT_EQ(tensor["values"][token * kRow + i].get<double>(), half(bits)) << layer << " " << token << " " << i;
        }
      }
    }
  }
}

TEST_F(Kv, PythonReadsQuantizedRowsAsNumbersAndScales) {
  NEEDS_PYTHON("safetensors");
  save_talk("q8_0");
  const json context = json_of({"kv", "export", "talk", "-o", path("talk.safetensors")})["context"];
  const Outcome outcome = python({"read", path("talk.safetensors")});
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  const json tensors = json::parse(outcome.out)["tensors"];
  const auto memory = memory_of("talk");
  const std::size_t n_tokens = context["n_tokens"], kRow = 3 * 64, kBlock = 32, kBlockBytes = 34;
  const json& numbers = tensors["layers.5.value"]["values"];
  const json& scales = tensors["layers.5.value_scale"]["values"];
  ASSERT_EQ(numbers.size(), n_tokens * kRow);
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    const std::size_t token = i / kRow, in_row = i % kRow;
    const std::byte* block = memory.data() + context["offset"].get<std::size_t>() +
                             context["kv_offset"].get<std::size_t>() +
                             token * context["token_stride"].get<std::size_t>() +
                             (2 * 5 + 1) * (kRow / kBlock * kBlockBytes) + in_row / kBlock * kBlockBytes;
    std::uint16_t scale = 0;
    std::memcpy(&scale, block, sizeof(scale));
    const auto number = static_cast<std::int8_t>(block[2 + in_row % kBlock]);
    ASSERT_EQ(scales[i / kBlock].get<double>() * numbers[i].get<double>(), half(scale) * number) << i;
  }
}

TEST_F(Kv, ActorWithItsRowsPutBackGoesOnBitForBit) {
  NEEDS_PYTHON("safetensors");
  for (const char* kv_type : {"f16", "q8_0"}) {
    save_talk(kv_type);
    const std::string rows = path(std::string(kv_type) + ".safetensors");
    json_of({"kv", "export", "talk", "-o", rows});
    ASSERT_EQ(python({"zero", rows, path("zero")}).status, 0);
    const json blank = json_of({"kv", "import", "talk", path("zero"), "--label", "blank"});
    EXPECT_EQ(blank["changed_tokens"], blank["n_tokens"]);
    EXPECT_NE(memory_of("blank"), memory_of("talk"));
    const json whole = json_of({"kv", "import", "blank", rows, "--label", "whole"});
    EXPECT_EQ(whole["changed_tokens"], whole["n_tokens"]);
    EXPECT_EQ(whole["parent"], blank["snapshot"]);
    EXPECT_EQ(json_of({"inspect", "whole"})["lineage"][0], blank["snapshot"]);

    const Outcome one = with_model({"thaw", "talk", "--say", kQuestion, "--save", "talk-after"});
    const Outcome other = with_model({"thaw", "whole", "--say", kQuestion, "--save", "whole-after"});
    ASSERT_EQ(one.status, 0) << one.err;
    EXPECT_EQ(other.out, one.out);
    // Linear memory: rows, tokens, the last logits, sampler.
    EXPECT_EQ(memory_of("whole-after"), memory_of("talk-after"));
  }
}

TEST_F(Kv, ContextShortenedInPythonIsComputedAnewFromThere) {
  NEEDS_PYTHON("safetensors");
  save_talk();
  json_of({"kv", "export", "talk", "-o", path("talk.safetensors")});
  ASSERT_EQ(python({"shorten", path("talk.safetensors"), path("short"), "12"}).status, 0);
  const json shortened = json_of({"kv", "import", "talk", path("short"), "--label", "short"});
  EXPECT_EQ(shortened["n_tokens"], 12);
  EXPECT_EQ(shortened["changed_tokens"], 0);
  EXPECT_EQ(json_of({"inspect", "short"})["contexts"][0]["n_tokens"], 12);
  const json whole = json_of({"thaw", "talk", "--say", kQuestion});
  const json after = json_of({"thaw", "short", "--say", kQuestion});
  EXPECT_EQ(after["replies"][0]["reused_tokens"], 12);
  EXPECT_EQ(after["replies"][0]["text"], whole["replies"][0]["text"]);
  EXPECT_EQ(after["replies"][0]["context_tokens"], whole["replies"][0]["context_tokens"]);
}

TEST_F(Kv, DocumentedPythonShortensAContext) {
  NEEDS_PYTHON("safetensors");
  NEEDS_PYTHON("numpy");
  save_talk();
  json_of({"kv", "export", "talk", "-o", path("talk.safetensors")});
  const std::string snippet = file("snippet.py", documented_python());
  const Outcome outcome =
      run_with_packages({"/bin/sh", "-c", "cd \"$0\" && exec python3 \"$1\"", folder().string(), snippet});
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  const json shortened = json_of({"kv", "import", "talk", path("short.safetensors"), "--label", "short"});
  EXPECT_EQ(shortened["n_tokens"], 12);
  EXPECT_EQ(shortened["changed_tokens"], 0);
}

TEST_F(Kv, WhatCannotBeIsRefusedAndNothingIsSaved) {
  save_talk();
  const std::string rows = path("talk.safetensors");
  json_of({"kv", "export", "talk", "-o", rows});
  expect_sentence(with_model({"kv", "export", "talk", "-o", rows}), kInvalidArgument, "already");
  expect_sentence(with_model({"kv", "export", "talk", "-o", path("no/where")}), kNotFound, "no/where");
  expect_sentence(with_model({"kv", "export", "talk", "-o", path("x"), "--context", "2"}), kInvalidArgument,
                  "no Context 2");
  expect_sentence(with_model({"kv", "export", "nobody", "-o", path("x")}), kNotFound, "nobody");
  expect_sentence(with_model({"kv", "import", "talk", path("gone")}), kNotFound, "gone");
  const std::string half_of_it = file("half", content_of(rows).substr(0, 100'000));
  expect_sentence(with_model({"kv", "import", "talk", half_of_it}), kCorrupt, "of which the file has");
  EXPECT_EQ(json::parse(cli({"snapshots", "--json"}).out)["snapshots"].size(), 1u);
  EXPECT_FALSE(std::filesystem::exists(path("x")));

  // A model that is not here, and a Context of another KV type.
  std::filesystem::path gone = folder() / "gone.gguf";
  EXPECT_NE(cli({"kv", "export", "talk", "-o", path("x"), "-m", gone.string()}).status, 0);
  save_talk("q8_0");
  expect_sentence(with_model({"kv", "import", "talk", rows}), kIncompatible, "f16, and the Context's q8_0");
}

/// A limit on the size of files, as other tests have for a disk, would refuse the actor's memory first.
TEST_F(Kv, FullDiskIsASentenceAndLeavesNothing) {
#ifdef __linux__
  save_talk();
  const auto disk = folder() / "disk";
  std::filesystem::create_directory(disk);
  const std::string rows = disk / "talk.safetensors";
  for (const char* size : {"size=4k", "size=256k"}) {
    if (::mount("tmpfs", disk.c_str(), "tmpfs", 0, size) != 0) {
      GTEST_SKIP() << "a small file system to fill cannot be mounted here";
    }
    expect_sentence(with_model({"kv", "export", "talk", "-o", rows}), kUnavailable,
                    rows + " cannot be written: No space left on device.");
    EXPECT_TRUE(std::filesystem::is_empty(disk)) << size;
    EXPECT_EQ(::umount2(disk.c_str(), MNT_DETACH), 0);
  }
  json_of({"kv", "export", "talk", "-o", rows});
#endif
}

TEST_F(Kv, ExportedFileHasTheRightsThatTheUserGivesToNewFiles) {
  save_talk();
  const ::mode_t mask = ::umask(0022);
  json_of({"kv", "export", "talk", "-o", path("talk.safetensors")});
  ::umask(mask);
  const auto rights = std::filesystem::status(path("talk.safetensors")).permissions();
  EXPECT_EQ(static_cast<unsigned>(rights), 0644u);
}

TEST_F(Kv, ActorWithoutAContextHasNothingToExport) {
  ASSERT_EQ(cli({"freeze", DRIFTWOOD_ACTOR_PROBE, "--label", "probe"}).status, 0);
  expect_sentence(cli({"kv", "export", "probe", "-o", path("x")}), kNotFound, "no Context");
}

}  // namespace
}  // namespace driftwood::testing
