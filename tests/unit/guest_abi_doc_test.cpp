// driftwood.h, the host's functions and docs/guest-abi.md speak of the same ABI.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

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
  std::string function;    ///< "dw_get_info"
  std::string parameters;  ///< as in HostFunction: i, or I for an integer of 64 bits
};

std::string letters_of(const std::string& list) {
  std::string letters;
  std::stringstream parameters(list == "void" ? "" : list);
  for (std::string parameter; std::getline(parameters, parameter, ',');) {
    const bool wide = parameter.find("int64_t") != std::string::npos && parameter.find('*') == std::string::npos;
    letters += wide ? 'I' : 'i';
  }
  return letters;
}

// Import name -> its declaration in the header.
std::map<std::string, Declared> declared_imports() {
  const std::string header = read("sdk/c/driftwood.h");
  const std::regex pattern(R"re(DW_IMPORT\("(\w+)"\)\s*int32_t (dw_\w+)\(([^)]*)\);)re");
  std::map<std::string, Declared> found;
  for (std::sregex_iterator match(header.begin(), header.end(), pattern); match != std::sregex_iterator(); ++match) {
    found[(*match)[1]] = {(*match)[2], letters_of((*match)[3])};
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
    EXPECT_EQ(function.parameters, found->second.parameters) << function.name;
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
