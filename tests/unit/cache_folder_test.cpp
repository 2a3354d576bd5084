#include "core/cache_folder.hpp"

#include <gtest/gtest.h>

#include <cstdlib>
#include <map>
#include <string>

namespace driftwood {
namespace {

/// The variables that count, given back as they were.
class CacheFolder : public ::testing::Test {
 protected:
  void SetUp() override {
    for (const char* name : {"DRIFTWOOD_CACHE", "XDG_CACHE_HOME", "HOME"}) {
      if (const char* value = std::getenv(name)) before_[name] = value;
      ::unsetenv(name);
    }
  }
  void TearDown() override {
    for (const char* name : {"DRIFTWOOD_CACHE", "XDG_CACHE_HOME", "HOME"}) ::unsetenv(name);
    for (const auto& [name, value] : before_) ::setenv(name.c_str(), value.c_str(), 1);
  }

 private:
  std::map<std::string, std::string> before_;
};

TEST_F(CacheFolder, IsTheFirstThatTheEnvironmentNames) {
  EXPECT_EQ(cache_folder("modules"), std::nullopt);
  ::setenv("HOME", "/home/somebody", 1);
  EXPECT_EQ(cache_folder("modules"), "/home/somebody/.cache/driftwood/modules");
  ::setenv("XDG_CACHE_HOME", "/cache", 1);
  EXPECT_EQ(cache_folder("modules"), "/cache/driftwood/modules");
  ::setenv("DRIFTWOOD_CACHE", "/own", 1);
  EXPECT_EQ(cache_folder("modules"), "/own/modules");
}

TEST_F(CacheFolder, IsNotBelowWhereverTheProcessHappensToRun) {
  ::setenv("DRIFTWOOD_CACHE", "own", 1);
  ::setenv("XDG_CACHE_HOME", "./cache", 1);
  ::setenv("HOME", "", 1);
  EXPECT_EQ(cache_folder("modules"), std::nullopt);
}

}  // namespace
}  // namespace driftwood
