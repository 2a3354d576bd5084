#include "actor/open_files.hpp"

#include <sys/resource.h>

#include <algorithm>
#include <fstream>

namespace driftwood {
namespace {

rlimit current_limit() noexcept {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) limit.rlim_cur = limit.rlim_max = 0;
  return limit;
}

}  // namespace

std::uint64_t open_files() noexcept { return current_limit().rlim_cur; }

std::optional<std::uint64_t> most_mappings() {
  std::uint64_t limit = 0;
  if (std::ifstream("/proc/sys/vm/max_map_count") >> limit) return limit;
  return std::nullopt;
}

std::uint64_t raise_open_files(std::uint64_t wanted) noexcept {
  rlimit limit = current_limit();
  const auto goal = static_cast<rlim_t>(std::min<std::uint64_t>(wanted, limit.rlim_max));
  if (goal > limit.rlim_cur) {
    limit.rlim_cur = goal;
    static_cast<void>(setrlimit(RLIMIT_NOFILE, &limit));  // refused: the limit stays as it was
  }
  return open_files();
}

}  // namespace driftwood
