#include <sys/stat.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <vector>

#include "wasm_fixture.hpp"

namespace driftwood {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr std::string_view kAnswer = R"((module (memory 1) (func (export "answer") (result i32) (i32.const 42))))";

Error refusal(Engine& engine, std::string_view module) {
  auto program = Program::compile(engine, bytes_of(module));
  EXPECT_FALSE(program.has_value()) << module;
  return program ? Error{} : std::move(program).error();
}

using ProgramTest = WasmTest;

TEST_F(ProgramTest, WhatIsNotWasmIsRefusedWithItsFirstBytes) {
  const Error error = refusal(*engine_,
                              "\x7f"
                              "ELF and more");
  EXPECT_EQ(error.code, ErrorCode::invalid_argument);
  EXPECT_EQ(error.message, "This is not a WebAssembly module: it begins with 7f 45 4c 46, a module with 00 61 73 6d.");
  EXPECT_EQ(refusal(*engine_, "").message, "The module is empty (0 bytes).");
  EXPECT_EQ(refusal(*engine_, std::string_view("\0a", 2)).code, ErrorCode::invalid_argument);
  EXPECT_EQ(refusal(*engine_, std::string_view("\0asm\x02\0\0\0", 8)).code, ErrorCode::invalid_argument);
  EXPECT_EQ(refusal(*engine_, std::string_view("\0asm\x0d\0\x01\0", 8)).code, ErrorCode::unsupported);
}

TEST_F(ProgramTest, ATruncatedModuleIsRefusedAtEveryLength) {
  // A hand-assembled module: one function type, one function, one memory, a body that returns 42.
  const unsigned char bytes[] = {0,  'a', 's', 'm',  1, 0,    0,    0,       // header
                                 1,  5,   1,   0x60, 0, 1,    0x7f,          // () -> i32
                                 3,  2,   1,   0,    5, 3,    1,    0,   1,  // function, memory
                                 10, 6,   1,   4,    0, 0x41, 42,   0x0b};
  const std::string_view module(reinterpret_cast<const char*>(bytes), sizeof bytes);
  EXPECT_TRUE(Program::compile(*engine_, bytes_of(module)).has_value());
  for (std::size_t size : {4u, 7u, 9u, 14u, 20u, 27u, 31u}) {
    EXPECT_EQ(refusal(*engine_, module.substr(0, size)).code, ErrorCode::invalid_argument) << size;
  }
}

TEST_F(ProgramTest, InvalidTextAndCodeAreRefusedWithTheReason) {
  EXPECT_EQ(refusal(*engine_, "(module (func").code, ErrorCode::invalid_argument);
  const Error error = refusal(*engine_, "(module (func (result i32) (i64.const 1)))");
  EXPECT_EQ(error.code, ErrorCode::invalid_argument);
  EXPECT_THAT(error.message, HasSubstr("type mismatch"));
}

TEST_F(ProgramTest, WhatCouldNotBeFrozenIsRefused) {
  for (const char* module : {
           "(module (memory 1 1 shared))",
           "(module (memory 1) (memory 1))",
           "(module (memory i64 1))",
           "(module (memory 1) (table 1 externref))",
           "(module (memory 1) (type (struct (field i32))))",
           "(module (memory 1) (tag))",
       }) {
    EXPECT_EQ(refusal(*engine_, module).code, ErrorCode::invalid_argument) << module;
  }
}

TEST_F(ProgramTest, KnowsItsKindAndImports) {
  EXPECT_EQ(compile(kAnswer)->kind(), ProgramKind::library);
  EXPECT_EQ(compile(R"((module (func (export "_start"))))")->kind(), ProgramKind::command);
  EXPECT_EQ(compile(R"((module (func (export "driftwood_receive"))))")->kind(), ProgramKind::reactor);
  EXPECT_EQ(compile(R"((module (memory (export "_start") 1)))")->kind(), ProgramKind::library);
  EXPECT_THAT(compile(R"((module (import "b" "two" (func)) (import "a" "one" (memory 1))))")->imports(),
              ElementsAre("b.two", "a.one"));
}

TEST_F(ProgramTest, ItsHashIsThatOfTheBytesGiven) {
  EXPECT_EQ(compile(kAnswer)->hash(), hash_bytes(bytes_of(kAnswer)));
}

TEST_F(ProgramTest, AFileThatCannotBeReadIsNotFound) {
  const auto program = Program::load(*engine_, "/nonexistent/guest.wasm");
  ASSERT_FALSE(program.has_value());
  EXPECT_EQ(program.error().code, ErrorCode::not_found);
  EXPECT_THAT(program.error().message, HasSubstr("/nonexistent/guest.wasm"));
  EXPECT_EQ(Program::load(*engine_, "/tmp").error().code, ErrorCode::not_found);
}

class ModuleCacheTest : public testing::Test {
 protected:
  ModuleCacheTest() {
    std::string pattern = (fs::temp_directory_path() / "driftwood-cache-XXXXXX").string();
    root_ = ::mkdtemp(pattern.data());
    folder_ = root_ / "made" / "modules";
  }
  ~ModuleCacheTest() override { fs::remove_all(root_); }

  /// Compiles and runs kAnswer with a new engine; whether the program came from the cache.
  bool answer_from_cache() {
    auto engine = Engine::create({.cache = folder_}).value();
    const auto program = Program::compile(*engine, bytes_of(kAnswer)).value();
    EXPECT_EQ(Instance::create(program, {}).value()->call("answer").value(), 42);
    return program->from_cache();
  }

  std::vector<fs::path> files() const { return {fs::directory_iterator(folder_), fs::directory_iterator()}; }
  static std::string content(const fs::path& file) {
    std::ifstream stream(file, std::ios::binary);
    return {std::istreambuf_iterator<char>(stream), {}};
  }
  static void replace(const fs::path& file, const std::string& content) {
    std::ofstream(file, std::ios::binary | std::ios::trunc) << content;
  }

  fs::path root_;
  fs::path folder_;
};

TEST_F(ModuleCacheTest, ASecondEngineRunsWhatTheFirstCompiled) {
  EXPECT_FALSE(answer_from_cache());
  EXPECT_TRUE(answer_from_cache());
  ASSERT_EQ(files().size(), 1u);
  struct stat status{};
  ASSERT_EQ(::stat(folder_.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0700u);
}

TEST_F(ModuleCacheTest, WhatTheCacheGivesBeginsAndIsRefusedAsWhatWasCompiled) {
  constexpr std::string_view kStarted = R"((module (memory 1) (global $g (mut i32) (i32.const 1))
    (data (i32.const 5) "five") (data (i32.const 7) "x") (table 1 funcref)
    (func $start (global.set $g (i32.load8_u (i32.const 5)))) (start $start)
    (func $shift (table.set 0 (i32.const 0) (ref.null func)))))";
  std::vector<std::string> refusals;
  for (const bool cached : {false, true}) {
    auto engine = Engine::create({.cache = folder_}).value();
    const auto program = Program::compile(*engine, bytes_of(kStarted), {.freezable = false}).value();
    EXPECT_EQ(program->from_cache(), cached);
    const auto instance = Instance::create(program, {}).value();
    EXPECT_EQ(std::memcmp(instance->memory().data() + 5, "fixe", 4), 0);
    EXPECT_EQ(instance->globals().at(0).bits[0], 'f');

    const auto refused = Program::compile(*engine, bytes_of(kStarted));
    ASSERT_FALSE(refused.has_value());
    refusals.push_back(refused.error().message);
  }
  EXPECT_THAT(refusals[0], HasSubstr("(shift)"));
  EXPECT_EQ(refusals[0], refusals[1]);
}

TEST_F(ModuleCacheTest, ADamagedFileIsReplaced) {
  answer_from_cache();
  const fs::path file = files().at(0);
  const std::string sound = content(file);
  for (std::size_t position :
       {std::size_t{0}, sound.size() / 2, sound.size() - 57, sound.size() - 50, sound.size() - 1}) {
    std::string damaged = sound;
    damaged[position] = static_cast<char>(damaged[position] ^ 0x10);
    replace(file, damaged);
    EXPECT_FALSE(answer_from_cache()) << position;
    EXPECT_TRUE(answer_from_cache()) << position;
  }
  for (std::size_t size : {std::size_t{0}, std::size_t{10}, sound.size() / 2, sound.size() - 1}) {
    replace(file, sound.substr(0, size));
    EXPECT_FALSE(answer_from_cache()) << size;
    EXPECT_TRUE(answer_from_cache()) << size;
  }
}

TEST_F(ModuleCacheTest, AFileOfAnotherModuleIsNotRun) {
  answer_from_cache();
  const fs::path file = files().at(0);
  {
    auto engine = Engine::create({.cache = folder_}).value();
    constexpr std::string_view kOther = R"((module (memory 1) (func (export "answer") (result i32) (i32.const 43))))";
    ASSERT_TRUE(Program::compile(*engine, bytes_of(kOther)).has_value());
  }
  for (const fs::path& other : files()) {
    if (other != file) fs::rename(other, file);
  }
  EXPECT_FALSE(answer_from_cache());
}

TEST_F(ModuleCacheTest, AFileThatOthersMayWriteIsNotRun) {
  answer_from_cache();
  fs::permissions(files().at(0), fs::perms::others_write, fs::perm_options::add);
  EXPECT_FALSE(answer_from_cache());
}

TEST_F(ModuleCacheTest, AFolderThatOthersMayWriteIsNotUsed) {
  fs::create_directories(folder_);
  fs::permissions(folder_, fs::perms::all);
  EXPECT_FALSE(answer_from_cache());
  EXPECT_FALSE(answer_from_cache());
  EXPECT_TRUE(files().empty());
}

TEST_F(ModuleCacheTest, AFolderThatCannotBeMadeIsDoneWithout) {
  replace(root_ / "made", "a file is in the way");
  EXPECT_FALSE(answer_from_cache());
}

}  // namespace
}  // namespace driftwood
