#include "snapshot/new_file.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <array>
#include <fstream>
#include <iterator>
#include <optional>
#include <string>

#include "support/temporary_folder.hpp"
#include "support/value_of.hpp"

namespace driftwood {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using testing::value_of;

using Create = Result<NewFile> (*)(const fs::path&);

class NewFileTest : public ::testing::TestWithParam<Create> {
 protected:
  static Result<NewFile> create(const fs::path& path) { return GetParam()(path); }
  fs::path path() const { return folder_.path() / "wanted"; }
  std::string text() const {
    std::ifstream file(path(), std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  static void write(NewFile& file, std::string_view text) {
    value_of(file.file().write_at(0, std::as_bytes(std::span(text))));
  }

  TemporaryFolder folder_;
};

INSTANTIATE_TEST_SUITE_P(Ways, NewFileTest, ::testing::Values(&NewFile::create, &NewFile::create_beside),
                         [](const auto& param) { return param.index == 0 ? "WithoutName" : "Beside"; });

TEST_P(NewFileTest, HasItsNameWhenItIsWhole) {
  NewFile file = value_of(create(path()));
  write(file, "whole");
  EXPECT_FALSE(fs::exists(path()));
#ifdef __linux__
  EXPECT_EQ(fs::is_empty(folder_.path()), GetParam() == &NewFile::create) << "who is killed here leaves something";
#endif
  value_of(file.publish());
  EXPECT_EQ(text(), "whole");
  EXPECT_EQ(std::distance(fs::directory_iterator(folder_.path()), {}), 1);
}

TEST_P(NewFileTest, IsForWhomTheUmaskAllows) {
  const mode_t before = ::umask(0027);
  value_of(value_of(create(path())).publish());
  ::umask(before);
  EXPECT_EQ(fs::status(path()).permissions(), fs::perms(0640));
}

TEST_P(NewFileTest, LeavesNothingWhenItIsGivenUp) {
  {
    NewFile file = value_of(create(path()));
    write(file, "half");
    const NewFile moved = std::move(file);
  }
  EXPECT_TRUE(fs::is_empty(folder_.path()));
}

TEST_P(NewFileTest, TakesNoNameFromAnother) {
  NewFile file = value_of(create(path()));
  std::ofstream(path()) << "mine";
  EXPECT_EQ(file.publish().error().code, ErrorCode::invalid_argument);
  EXPECT_EQ(text(), "mine");
  const auto late = create(path());
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().code, ErrorCode::invalid_argument);
  EXPECT_THAT(late.error().message, HasSubstr("is there already"));
}

TEST_P(NewFileTest, ANameThatLeadsNowhereIsTaken) {
  fs::create_symlink("nowhere", path());
  EXPECT_EQ(create(path()).error().code, ErrorCode::invalid_argument);
}

TEST_P(NewFileTest, ANameThatNoFileCanHaveIsRefusedBeforeMuchIsWritten) {
  EXPECT_EQ(create(folder_.path() / std::string(300, 'x')).error().code, ErrorCode::unavailable);
  EXPECT_FALSE(create(folder_.path() / ""));
  EXPECT_FALSE(create(""));
}

TEST_P(NewFileTest, NeedsItsFolder) {
  const auto file = create(path() / "deeper");
  ASSERT_FALSE(file);
  EXPECT_EQ(file.error().code, ErrorCode::not_found);
  EXPECT_THAT(file.error().message, HasSubstr((path() / "deeper").string() + " cannot be written: "));
}

TEST_P(NewFileTest, MayLieWhereThePathHasNoFolder) {
  const fs::path before = fs::current_path();
  fs::current_path(folder_.path());
  auto file = create("wanted");
  const bool named = file && file->publish();
  fs::current_path(before);
  EXPECT_TRUE(named);
  EXPECT_TRUE(fs::exists(path()));
}

}  // namespace
}  // namespace driftwood
