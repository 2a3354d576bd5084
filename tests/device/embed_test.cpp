// The library as its users see it: public headers and the shared library, nothing else.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <driftwood/driftwood.hpp>
#include <filesystem>
#include <fstream>
#include <future>
#include <stdexcept>
#include <string>
#include <vector>

#include "support/temporary_folder.hpp"
#include "support/value_of.hpp"

namespace driftwood {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;
using testing::value_of;

template <typename T>
ErrorCode code_of(const Result<T>& result) {
  if (result) throw std::runtime_error("It succeeded.");
  EXPECT_THAT(result.error().message, HasSubstr("."));  // a sentence
  return result.error().code;
}

Result<Program> compile(Runtime& runtime, std::string_view text) {
  return runtime.compile_program(std::as_bytes(std::span(text.data(), text.size())));
}

class EmbedTest : public ::testing::Test {
 protected:
  static Runtime make(RuntimeOptions options = {}) {
    options.device = "null";
    options.cache_programs = false;
    return value_of(Runtime::create(std::move(options)));
  }
  static Program peer(Runtime& runtime) { return value_of(runtime.load_program(DW_TEST_PEER)); }
  static std::string ask(const Actor& actor, std::string message) { return value_of(actor.ask(std::move(message))); }
  Store store() const { return value_of(Store::open({.folder = folder_.path() / "store"})); }

  TemporaryFolder folder_;
};

TEST_F(EmbedTest, LibraryIsOfTheHeadersVersion) { EXPECT_STREQ(library_version(), DRIFTWOOD_VERSION); }

TEST_F(EmbedTest, RuntimeTellsItsDevice) {
  const Runtime runtime = make();
  EXPECT_EQ(runtime.device().name, "null");
  EXPECT_THAT(device_names(), ::testing::Contains("null"));
}

#ifdef DW_TEST_FAULT_WORKER
TEST_F(EmbedTest, ACardWithoutRoomForTheWeightsIsRefusedBeforeOneIsLoaded) {
  // The null device of this worker has 1 MiB free.
  ASSERT_EQ(setenv("DRIFTWOOD_DEVICE_WORKER", DW_TEST_FAULT_WORKER, 1), 0);
  const auto create = [](std::uint64_t weights) {
    return Runtime::create({.device = "null",
                            .device_worker = DeviceWorker::on,
                            .expected_weights_bytes = weights,
                            .cache_programs = false});
  };
  EXPECT_TRUE(create(1 << 20));
  const auto refused = create(3'000'000);
  unsetenv("DRIFTWOOD_DEVICE_WORKER");
  EXPECT_EQ(code_of(refused), ErrorCode::out_of_memory);
  EXPECT_EQ(refused.error().message, "The device (null) has 1.0 MB of its memory free, and the weights take 3.0 MB.");
}
#endif

TEST_F(EmbedTest, ErrorsPassThroughWithTheirSentences) {
  EXPECT_EQ(code_of(Runtime::create({.device = "abacus", .cache_programs = false})), ErrorCode::not_found);
  EXPECT_EQ(code_of(Runtime::create({.device = "null", .cache_programs = false, .waiting_passes = 0})),
            ErrorCode::invalid_argument);
  EXPECT_EQ(code_of(Runtime::create({.device = "null", .cache_programs = false, .actor_threads = 0})),
            ErrorCode::invalid_argument);

  Runtime runtime = make();
  const auto missing = runtime.load_program(folder_.path() / "missing.wasm");
  EXPECT_EQ(code_of(missing), ErrorCode::not_found);
  EXPECT_THAT(missing.error().message, HasSubstr("missing.wasm"));
  EXPECT_EQ(code_of(compile(runtime, "no module")), ErrorCode::invalid_argument);

  value_of(runtime.add_model("oak", folder_.path() / "oak.gguf"));
  EXPECT_EQ(code_of(runtime.add_model("oak", folder_.path() / "ash.gguf")), ErrorCode::invalid_argument);
  EXPECT_EQ(code_of(runtime.load_model("oak")), ErrorCode::not_found);
  EXPECT_EQ(code_of(runtime.load_model("elm")), ErrorCode::not_found);
  EXPECT_EQ(code_of(runtime.find(7)), ErrorCode::not_found);
  EXPECT_EQ(code_of(runtime.spawn(peer(runtime), {.memory_bytes = 1})), ErrorCode::invalid_argument);
  EXPECT_EQ(code_of(runtime.spawn(peer(runtime), {.run_time = std::chrono::milliseconds(-1)})),
            ErrorCode::invalid_argument);
  EXPECT_EQ(code_of(runtime.spawn(peer(runtime), {.folders = {{folder_.path() / "gone", "/data"}}})),
            ErrorCode::not_found);
  EXPECT_EQ(code_of(store().load("nothing")), ErrorCode::not_found);
}

class EmbedModels : public EmbedTest {
 protected:
  void SetUp() override {
    for (const char* seed : {"1", "2"}) {
      const std::string command = std::string(DW_TEST_MAKE_GGUF) + " --arch llama --representative --seed " + seed +
                                  " " + model(seed).string() + " > /dev/null";
      ASSERT_EQ(std::system(command.c_str()), 0);
    }
  }
  std::filesystem::path model(const std::string& seed) const { return folder_.path() / (seed + ".gguf"); }
  /// "oak" and "elm" on the CPU.
  Runtime with_models(std::uint64_t weights_bytes = 0) const {
    Runtime runtime = value_of(Runtime::create(
        {.device = "cpu", .weights_bytes = weights_bytes, .cache_programs = false, .cache_weights = false}));
    value_of(runtime.add_model("oak", model("1")));
    value_of(runtime.add_model("elm", model("2")));
    return runtime;
  }
  static Program chat(Runtime& runtime) { return value_of(runtime.load_program(DW_TEST_CHAT)); }
  static Actor talker(Runtime& runtime, const Program& program, const std::string& model) {
    const Actor actor = value_of(runtime.spawn(program, {.models = {model}}));
    EXPECT_THAT(ask(actor, "configure\nmodel " + model + "\nn_ctx 256\ntemperature 0\nmax_tokens 8\n\n"),
                HasSubstr("status"));
    return actor;
  }
  static std::string loaded(const Runtime& runtime) {
    std::string names;
    for (const ModelInfo& info : runtime.models()) names += info.loaded ? info.name : "";
    return names;
  }
};

TEST_F(EmbedModels, TakeTurnsInTheBudgetAndASleeperGoesOnAsItWould) {
  Runtime roomy = with_models();
  const Actor whole = talker(roomy, chat(roomy), "oak");
  const std::string first = ask(whole, "say\n\nhello");
  const std::string second = ask(whole, "say\n\nand then");
  value_of(roomy.load_model("elm"));
  EXPECT_EQ(loaded(roomy), "elmoak");
  std::uint64_t both = 0;
  for (const ModelInfo& info : roomy.models()) both += info.bytes;

  Runtime tight = with_models(both - 1);
  const Program program = chat(tight);
  const Actor sleeper = talker(tight, program, "oak");
  EXPECT_EQ(ask(sleeper, "say\n\nhello"), first);
  const Snapshot asleep = value_of(sleeper.freeze());
  value_of(sleeper.kill());
  const Actor other = talker(tight, program, "elm");
  EXPECT_NE(ask(other, "say\n\nhello"), first);
  EXPECT_EQ(loaded(tight), "elm");
  const Actor back = value_of(tight.thaw(program, asleep, {.models = {"oak"}}));
  EXPECT_EQ(ask(back, "say\n\nand then"), second);
  EXPECT_EQ(loaded(tight), "oak");
}

TEST_F(EmbedModels, AnotherFileUnderTheNameIsRefusedBeforeItIsLoaded) {
  Runtime runtime = with_models();
  const Snapshot asleep = value_of(talker(runtime, chat(runtime), "oak").freeze());
  Runtime elsewhere = make();
  value_of(elsewhere.add_model("oak", model("2")));
  const auto thawed = elsewhere.thaw(chat(elsewhere), asleep, {.models = {"oak"}});
  EXPECT_EQ(code_of(thawed), ErrorCode::incompatible);
  EXPECT_THAT(thawed.error().message, HasSubstr("The model \"oak\" is another file"));
  EXPECT_EQ(loaded(elsewhere), "");
}

TEST_F(EmbedTest, CommandRunsToItsExitStatus) {
  Runtime runtime = make();
  const Program program = value_of(compile(runtime, R"((module
    (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
    (memory (export "memory") 1)
    (func (export "_start") (call $exit (i32.const 7)))))"));
  EXPECT_EQ(program.kind(), ProgramKind::command);
  EXPECT_THAT(program.imports(), ElementsAre("wasi_snapshot_preview1.proc_exit"));
  EXPECT_EQ(value_of(runtime.run(program)), 7);
  EXPECT_EQ(code_of(runtime.spawn(program)), ErrorCode::invalid_argument);
  EXPECT_EQ(code_of(runtime.run(peer(runtime))), ErrorCode::invalid_argument);
}

TEST_F(EmbedTest, AskGivesPiecesAndReply) {
  Runtime runtime = make();
  const Actor actor = value_of(runtime.spawn(peer(runtime), {.name = "peer"}));
  std::string pieces;
  EXPECT_EQ(value_of(actor.ask("emit", [&](std::string_view piece) { pieces += piece; })), "emitted");
  EXPECT_EQ(pieces, "here");
  EXPECT_EQ(value_of(actor.status()).name, "peer");
  EXPECT_EQ(value_of(actor.status()).program_name, std::filesystem::path(DW_TEST_PEER).filename().string());
  EXPECT_EQ(value_of(runtime.find(actor.id())), actor);
  EXPECT_THAT(runtime.actors(), SizeIs(1));
}

TEST_F(EmbedTest, HandlerMayPostButNotWait) {
  Runtime runtime = make();
  const Actor actor = value_of(runtime.spawn(peer(runtime)));
  const Actor other = value_of(runtime.spawn(peer(runtime)));
  std::promise<ErrorCode> asked, frozen, forked;
  std::promise<std::string> posted;
  value_of(actor.post("count", {.emit = {}, .done = [&](Result<std::string>) {
                                  asked.set_value(code_of(other.ask("count")));
                                  frozen.set_value(code_of(other.freeze()));
                                  forked.set_value(code_of(other.fork(1)));
                                  value_of(other.post("who", {.emit = {}, .done = [&](Result<std::string> reply) {
                                                                posted.set_value(value_of(std::move(reply)));
                                                              }}));
                                }}));
  EXPECT_EQ(asked.get_future().get(), ErrorCode::invalid_argument);
  EXPECT_EQ(frozen.get_future().get(), ErrorCode::invalid_argument);
  EXPECT_EQ(forked.get_future().get(), ErrorCode::invalid_argument);
  EXPECT_FALSE(posted.get_future().get().empty());
  EXPECT_EQ(ask(other, "count"), "2");  // and out of a handler it may wait
}

TEST_F(EmbedTest, ActorThatTrapsEndsAlone) {
  Runtime runtime = make();
  const Actor actor = value_of(runtime.spawn(peer(runtime)));
  const Actor other = value_of(runtime.spawn(peer(runtime)));
  EXPECT_EQ(code_of(actor.ask("trap")), ErrorCode::guest_trap);
  const ActorStatus status = value_of(actor.status());
  EXPECT_EQ(status.state, ActorState::ended);
  ASSERT_TRUE(status.ending);
  EXPECT_EQ(status.ending->code, ErrorCode::guest_trap);
  EXPECT_EQ(ask(other, "count"), "1");
  value_of(other.kill());
  EXPECT_EQ(code_of(other.ask("count")), ErrorCode::cancelled);
}

TEST_F(EmbedTest, RunTimeEndsALoop) {
  Runtime runtime = make();
  const Actor actor = value_of(runtime.spawn(peer(runtime), {.run_time = std::chrono::milliseconds(50)}));
  EXPECT_EQ(code_of(actor.ask("loop")), ErrorCode::guest_trap);
}

TEST_F(EmbedTest, ThawedActorGoesOnFromTheFreezeAndSoDoesTheLiveOne) {
  Runtime runtime = make();
  const Program program = peer(runtime);
  const Actor actor = value_of(runtime.spawn(program, {.name = "walker"}));
  ask(actor, "note one");
  const Snapshot snapshot = value_of(actor.freeze("first"));
  ask(actor, "note two");
  const Actor thawed = value_of(runtime.thaw(program, snapshot));
  ask(thawed, "note three");
  EXPECT_EQ(ask(actor, "notes"), "one two ");
  EXPECT_EQ(ask(thawed, "notes"), "one three ");

  EXPECT_EQ(snapshot.label(), "first");
  EXPECT_EQ(snapshot.actor(), "walker");
  EXPECT_EQ(snapshot.program_hash(), program.hash());
  EXPECT_EQ(snapshot.parent(), std::nullopt);
  EXPECT_GE(snapshot.memory_bytes(), 65536U);
  EXPECT_LT(std::chrono::system_clock::now() - snapshot.created(), std::chrono::minutes(1));
  EXPECT_EQ(runtime.numerics_difference(snapshot), "");
}

TEST_F(EmbedTest, ForkedChildrenGoOnApart) {
  Runtime runtime = make();
  const Actor actor = value_of(runtime.spawn(peer(runtime)));
  ask(actor, "note root");
  const std::vector<Actor> children = value_of(actor.fork(3));
  ASSERT_THAT(children, SizeIs(3));
  for (const Actor& child : children) {
    EXPECT_EQ(value_of(child.status()).parent, actor.id());
    ask(child, "note " + std::to_string(child.id()));
  }
  for (const Actor& child : children) EXPECT_EQ(ask(child, "notes"), "root forked " + std::to_string(child.id()) + " ");
  EXPECT_EQ(ask(actor, "notes"), "root ");
  EXPECT_EQ(code_of(actor.fork(0)), ErrorCode::invalid_argument);
}

TEST_F(EmbedTest, SaveMakesASnapshotTheParentOfTheNext) {
  Runtime runtime = make();
  const Program program = peer(runtime);
  const Actor actor = value_of(runtime.spawn(program));
  Store snapshots = store();
  ask(actor, "note one");
  const SnapshotId first = value_of(actor.save(snapshots, "first"));
  ask(actor, "note two");
  const SnapshotId second = value_of(actor.save(snapshots, "second"));
  EXPECT_EQ(value_of(snapshots.load(second)).parent(), first);
  EXPECT_THAT(value_of(snapshots.lineage(second)), SizeIs(2));
  EXPECT_EQ(value_of(snapshots.resolve("first")), first);
  EXPECT_THAT(value_of(snapshots.list()), SizeIs(2));
  EXPECT_TRUE(snapshots.check(second));

  value_of(snapshots.remove(first));
  EXPECT_EQ(code_of(snapshots.load(first)), ErrorCode::not_found);
  EXPECT_EQ(ask(value_of(runtime.thaw(program, value_of(snapshots.load("second")))), "notes"), "one two ");
}

TEST_F(EmbedTest, CheckpointGoesToItsHandler) {
  Store snapshots = store();
  std::vector<std::string> labels;
  Runtime runtime = make({.on_checkpoint = [&](const Actor& actor, const Snapshot& snapshot) {
    EXPECT_EQ(code_of(actor.ask("count")), ErrorCode::invalid_argument);
    labels.push_back(snapshot.label());
    return std::optional(value_of(snapshots.save(snapshot)));
  }});
  const Actor actor = value_of(runtime.spawn(peer(runtime)));
  EXPECT_EQ(ask(actor, "checkpoint half-way"), "ok");
  EXPECT_THAT(labels, ElementsAre("half-way"));
  EXPECT_EQ(value_of(actor.freeze()).parent(), value_of(snapshots.resolve("half-way")));
}

TEST_F(EmbedTest, ExportedSnapshotIsImportedElsewhere) {
  Runtime runtime = make();
  const Program program = peer(runtime);
  const Actor actor = value_of(runtime.spawn(program));
  ask(actor, "note carried");
  Store here = store();
  const SnapshotId id = value_of(actor.save(here));
  const auto file = folder_.path() / "carried.snapshot";
  value_of(here.export_to(id, file, {.compression = 3}));
  Store there = value_of(Store::open({.folder = folder_.path() / "there"}));
  EXPECT_EQ(value_of(there.import_from(file)), id);
  EXPECT_EQ(ask(value_of(runtime.thaw(program, value_of(there.load(id)))), "notes"), "carried ");

  std::fstream(file, std::ios::in | std::ios::out | std::ios::binary).seekp(-1, std::ios::end).put('\0').put('x');
  EXPECT_FALSE(there.import_from(file));
}

TEST_F(EmbedTest, HandlesOutliveTheirRuntime) {
  std::optional<Runtime> runtime = make();
  const Program program = peer(*runtime);
  const Actor actor = value_of(runtime->spawn(program));
  ask(actor, "note kept");
  const Snapshot snapshot = value_of(actor.freeze());
  const Hash hash = program.hash();
  runtime.reset();

  EXPECT_EQ(code_of(actor.ask("notes")), ErrorCode::cancelled);
  EXPECT_EQ(value_of(actor.status()).state, ActorState::ended);
  EXPECT_EQ(code_of(actor.freeze()), ErrorCode::cancelled);
  EXPECT_EQ(program.hash(), hash);
  Store snapshots = store();
  const SnapshotId id = value_of(snapshots.save(snapshot));

  Runtime next = make();
  EXPECT_EQ(code_of(next.spawn(program)), ErrorCode::invalid_argument);
  EXPECT_EQ(ask(value_of(next.thaw(peer(next), snapshot)), "notes"), "kept ");
  EXPECT_EQ(ask(value_of(next.thaw(peer(next), value_of(snapshots.load(id)))), "notes"), "kept ");
}

TEST_F(EmbedTest, RuntimesEndEndsAnActorThatLoops) {
  std::optional<Runtime> runtime = make();
  const Actor actor = value_of(runtime->spawn(peer(*runtime)));
  std::promise<ErrorCode> done;
  value_of(
      actor.post("loop", {.emit = {}, .done = [&](Result<std::string> reply) { done.set_value(code_of(reply)); }}));
  runtime.reset();
  EXPECT_EQ(done.get_future().get(), ErrorCode::cancelled);
}

TEST_F(EmbedTest, MovedRuntimeKeepsItsActors) {
  Runtime first = make();
  const Actor actor = value_of(first.spawn(peer(first)));
  Runtime second = std::move(first);
  EXPECT_EQ(ask(actor, "count"), "1");
  second = make();
  EXPECT_EQ(code_of(actor.ask("count")), ErrorCode::cancelled);
}

}  // namespace
}  // namespace driftwood
