#include "snapshot/numerics.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <iterator>

namespace driftwood {
namespace {

std::vector<std::string> only_in(const std::vector<std::string>& some, const std::vector<std::string>& others) {
  std::vector<std::string> only;
  std::ranges::copy_if(some, std::back_inserter(only),
                       [&](const std::string& name) { return std::ranges::find(others, name) == others.end(); });
  return only;
}

std::string shown(const std::string& name) { return name.empty() ? "none" : name; }

}  // namespace

std::string difference_in_words(const NumericsFingerprint& then, const NumericsFingerprint& now) {
  std::vector<std::string> parts;
  const auto compare = [&parts](const char* what, const std::string& before, const std::string& after) {
    if (before != after) parts.push_back(fmt::format("the {} was {} and is {} now", what, shown(before), shown(after)));
  };
  compare("device", then.device, now.device);
  compare("architecture", then.architecture, now.architecture);
  compare("kernels' version", then.kernels, now.kernels);
  if (const auto lost = only_in(then.features, now.features); !lost.empty()) {
    parts.push_back(fmt::format("the processor had {}, which this one has not", fmt::join(lost, ", ")));
  }
  if (const auto gained = only_in(now.features, then.features); !gained.empty()) {
    parts.push_back(fmt::format("this processor has {}, which that one had not", fmt::join(gained, ", ")));
  }
  if (then.threads != now.threads) {
    const auto count = [](std::uint32_t threads) {
      return threads == 0 ? std::string("any number of threads") : fmt::format("{} threads", threads);
    };
    parts.push_back(fmt::format("a pass ran on {} and runs on {} now", count(then.threads), count(now.threads)));
  }
  if (parts.empty()) return "";
  return fmt::format("Results may differ in their last bits: {}.", fmt::join(parts, "; "));
}

}  // namespace driftwood
