// driftwood run: what a guest gets, and how its end is told.
#include "e2e/cli.hpp"
#include "tools/random_model.hpp"

namespace driftwood::testing {
namespace {

const std::string kProbe = DRIFTWOOD_CLI_PROBE;

/// A module that imports the function nope.gone.
std::string module_with_unknown_import() {
  static constexpr char kModule[] =
      "\0asm\1\0\0\0"
      "\1\4\1\x60\0\0"                    // type 0: () -> ()
      "\2\xd\1\4nope\4gone\0\0"           // import it
      "\3\2\1\0"                          // function 1 of type 0
      "\5\3\1\0\1"                        // one memory of a page
      "\7\x13\2\6_start\0\1\6memory\2\0"  // exports
      "\12\4\1\2\0\13";                   // its empty body
  return std::string(kModule, sizeof(kModule) - 1);
}

using RunCommand = CliTest;

TEST_F(RunCommand, ArgumentsAfterTheModuleAreTheGuestsEvenIfTheyLookLikeOptions) {
  const Outcome outcome = cli({"run", kProbe, "arguments", "--dir", "two words", "--help", "--", "ü"});
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_EQ(outcome.out, "[--dir][two words][--help][--][ü]");
}

TEST_F(RunCommand, ExitStatusIsTheGuests) { EXPECT_EQ(cli({"run", kProbe, "exit", "42"}).status, 42); }

TEST_F(RunCommand, StandardInputAndOutputAreInherited) {
  EXPECT_EQ(cli({"run", kProbe, "echo"}, "over and out\n").out, "over and out\n");
}

TEST_F(RunCommand, EnvironmentIsEmptyUnlessGiven) {
  EXPECT_EQ(cli({"run", kProbe, "environment", "HOME"}).out, "unset");
  EXPECT_EQ(cli({"run", "--env", "MODE=fast=er", "--env", "B=2", kProbe, "environment", "MODE"}).out, "fast=er");
}

TEST_F(RunCommand, FoldersAreClosedUnlessGranted) {
  const std::string path = file("note.txt", "in the folder");
  EXPECT_EQ(cli({"run", kProbe, "cat", path}).status, 4);
  EXPECT_EQ(cli({"run", "--dir", folder().string() + "::/data", kProbe, "cat", "/data/note.txt"}).out, "in the folder");
  EXPECT_EQ(cli({"run", "--dir", folder().string(), kProbe, "cat", path}).out, "in the folder");
}

TEST_F(RunCommand, TrapIsToldWithTheGuestsBacktrace) {
  const Outcome outcome = cli({"run", kProbe, "trap"});
  EXPECT_EQ(outcome.status, kGuestTrap);
  EXPECT_TRUE(outcome.err.starts_with("driftwood: ")) << outcome.err;
  EXPECT_NE(outcome.err.find("fall_into_trap"), std::string::npos) << outcome.err;
}

TEST_F(RunCommand, EndlessLoopEndsAtItsTimeout) {
  const Outcome outcome = cli({"run", "--timeout", "300ms", kProbe, "loop"});
  EXPECT_EQ(outcome.status, kGuestTrap);
  EXPECT_NE(outcome.err.find("300"), std::string::npos) << outcome.err;
}

TEST_F(RunCommand, MemoryEndsAtItsLimit) {
  EXPECT_EQ(cli({"run", "--max-memory", "64M", kProbe, "allocate", "16"}).status, 0);
  EXPECT_EQ(cli({"run", "--max-memory", "16M", kProbe, "allocate", "32"}).status, 5);
}

TEST_F(RunCommand, ModelThatWasNotGrantedCannotBeOpened) {
  const Outcome outcome = cli({"run", kProbe, "model", "secret"});
  EXPECT_EQ(outcome.status, 3);
  EXPECT_NE(outcome.out.find("secret"), std::string::npos) << outcome.out;
}

TEST_F(RunCommand, GrantedModelOpensUnderItsName) {
  const auto path = folder() / "tiny.gguf";
  const auto written = write_random_model({}, path);
  ASSERT_TRUE(written) << written.error().to_string();
  EXPECT_EQ(cli({"run", "--model", "story=" + path.string(), kProbe, "model", "story"}).out, "llama 2 layers\n");
  EXPECT_EQ(cli({"run", "--model", path.string(), kProbe, "model", "tiny"}).out, "llama 2 layers\n");
  EXPECT_EQ(cli({"run", "--model", "story=" + path.string(), kProbe, "model", "tiny"}).status, 3);
}

TEST_F(RunCommand, WhatIsNotWasmIsRefused) {
  expect_sentence(cli({"run", file("no.wasm", "This is not WebAssembly.")}), kInvalidArgument, "no.wasm");
}

TEST_F(RunCommand, TruncatedModuleIsRefused) {
  const std::string whole = content_of(kProbe);
  expect_sentence(cli({"run", file("half.wasm", whole.substr(0, whole.size() / 2))}), kInvalidArgument, "half.wasm");
}

TEST_F(RunCommand, MissingFileIsNamed) { expect_sentence(cli({"run", "gone.wasm"}), kNotFound, "gone.wasm"); }

TEST_F(RunCommand, UnknownImportIsNamed) {
  expect_sentence(cli({"run", file("import.wasm", module_with_unknown_import())}), kNotFound, "nope.gone");
}

TEST_F(RunCommand, WrongOptionsAreRefusedBeforeAnythingRuns) {
  expect_sentence(cli({"run"}), kInvalidArgument, "GUEST.wasm");
  expect_sentence(cli({"run", "--nope", kProbe}), kInvalidArgument, "--nope");
  expect_sentence(cli({"run", "--env", "NOVALUE", kProbe}), kInvalidArgument, "NOVALUE");
  expect_sentence(cli({"run", "--max-memory", "5G", kProbe}), kInvalidArgument, "5G");
  expect_sentence(cli({"run", "--timeout", "soon", kProbe}), kInvalidArgument, "soon");
  expect_sentence(cli({"run", "--device", "abacus", kProbe}), kNotFound, "abacus");
  expect_sentence(cli({"run", "--model", "nobody", kProbe}), kNotFound, "nobody");
  expect_sentence(cli({"run", "--dir", (folder() / "gone").string(), kProbe, "exit", "0"}), kNotFound, "gone");
}

TEST_F(RunCommand, ReactorIsNoProgram) {
  expect_sentence(cli({"run", DRIFTWOOD_CHAT_GUEST}), kInvalidArgument, "_start");
}

}  // namespace
}  // namespace driftwood::testing
