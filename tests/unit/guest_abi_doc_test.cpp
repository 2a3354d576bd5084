// driftwood.h, the host's functions and docs/guest-abi.md speak of the same ABI.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <regex>
#include <sstream>

#include "hostcalls/guest_host.hpp"

namespace driftwood {
namespace {

std::string read(const std::string& name) {
  std::ifstream file(std::string(DW_TEST_SOURCE_DIR) + "/" + name);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

struct Declared {
  std::string function;  ///< "dw_get_info"
  std::size_t parameters;
};

// Import name -> its declaration in the header.
std::map<std::string, Declared> declared_imports() {
  const std::string header = read("sdk/c/driftwood.h");
  const std::regex pattern(R"re(DW_IMPORT\("(\w+)"\)\s*int32_t (dw_\w+)\(([^)]*)\);)re");
  std::map<std::string, Declared> found;
  for (std::sregex_iterator match(header.begin(), header.end(), pattern); match != std::sregex_iterator(); ++match) {
    const std::string list = (*match)[3];
    const auto commas = static_cast<std::size_t>(std::count(list.begin(), list.end(), ','));
    found[(*match)[1]] = {(*match)[2], list == "void" ? 0 : commas + 1};
  }
  return found;
}

TEST(GuestAbi, HostGivesExactlyWhatTheHeaderDeclares) {
  const auto declared = declared_imports();
  EXPECT_EQ(declared.size(), guest_abi_functions().size());
  for (const HostFunction& function : guest_abi_functions()) {
    EXPECT_EQ(function.module, "driftwood");
    EXPECT_EQ(function.results, "i");
    const auto found = declared.find(std::string(function.name));
    ASSERT_NE(found, declared.end()) << function.name;
    EXPECT_EQ(function.parameters, std::string(found->second.parameters, 'i')) << function.name;
  }
}

TEST(GuestAbi, ReferenceHasEveryImportWithItsFunction) {
  const std::string reference = read("docs/guest-abi.md");
  const auto declared = declared_imports();
  ASSERT_FALSE(declared.empty());
  for (const auto& [name, declaration] : declared) {
    EXPECT_THAT(reference, testing::HasSubstr("| `" + name + "` | `int32_t " + declaration.function + "("));
  }
}

TEST(GuestAbi, ReferenceHasEveryNumberOfTheHeader) {
  const std::string reference = read("docs/guest-abi.md");
  const std::string header = read("sdk/c/driftwood.h");
  const std::regex pattern(R"re(#define (DW_[A-Z0-9_a-z]+) )re");
  std::size_t n = 0;
  for (std::sregex_iterator match(header.begin(), header.end(), pattern); match != std::sregex_iterator(); ++match) {
    const std::string name = (*match)[1];
    if (name == "DW_MODULE") continue;
    EXPECT_THAT(reference, testing::HasSubstr("`" + name + "`"));
    ++n;
  }
  EXPECT_GT(n, 50U);
}

}  // namespace
}  // namespace driftwood
