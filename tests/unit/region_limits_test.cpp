// What ends a process or needs one of its own: faults, failed checks, exhausted limits.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <utility>

#include "memory/region.hpp"
#include "support/sanitizers.hpp"

namespace driftwood {
namespace {

std::unique_ptr<Region> make_region(std::size_t reserve_pages, std::size_t commit_pages) {
  auto region = Region::create(
      {.reserve = reserve_pages * page_size(), .commit = commit_pages * page_size(), .guard = 2 * page_size()});
  EXPECT_TRUE(region) << region.error().to_string();
  return region ? std::move(*region) : nullptr;
}

/// Touches one byte with the default handling of faults, also where a sanitizer has put its own.
void touch(Region& region, std::size_t offset) {
  std::signal(SIGSEGV, SIG_DFL);
  std::signal(SIGBUS, SIG_DFL);
  static_cast<void>(*const_cast<volatile std::byte*>(region.data() + offset));
}

/// A protected page is SIGSEGV on Linux and SIGBUS on macOS.
bool died_of_a_fault(int status) {
  return WIFSIGNALED(status) && (WTERMSIG(status) == SIGSEGV || WTERMSIG(status) == SIGBUS);
}

TEST(RegionDeathTest, BytesThatAreNotCommittedFault) {
  const auto region = make_region(4, 2);
  touch(*region, 2 * page_size() - 1);
  EXPECT_EXIT(touch(*region, 2 * page_size()), died_of_a_fault, "");
  EXPECT_EXIT(touch(*region, 4 * page_size() - 1), died_of_a_fault, "");
}

TEST(RegionDeathTest, TheGuardFaultsEvenWhenAllIsCommitted) {
  const auto region = make_region(2, 2);
  EXPECT_EXIT(touch(*region, 2 * page_size()), died_of_a_fault, "");
  EXPECT_EXIT(touch(*region, 4 * page_size() - 1), died_of_a_fault, "");
}

TEST(RegionDeathTest, MayNotBeDestroyedUnderALivePin) {
  auto region = make_region(1, 1);
  auto pin = region->pin({0, 1});
  ASSERT_TRUE(pin);
  EXPECT_DEATH(region.reset(), "internal check failed: pins_.empty");
  *pin = Pin();
}

/// Exits with 0 when `result` failed with out_of_memory, else says what it gave.
template <typename T>
[[noreturn]] void exit_for_out_of_memory(const Result<T>& result) {
  if (!result && result.error().code == ErrorCode::out_of_memory) {
    std::fprintf(stderr, "%s\n", result.error().message.c_str());
    std::_Exit(0);
  }
  std::fprintf(stderr, "%s\n", result ? "no failure" : result.error().message.c_str());
  std::_Exit(1);
}

#if defined(__linux__) && !DW_WITH_ASAN && !DW_WITH_TSAN
// Sanitizers cannot run under a limit of address space.
void limit_address_space() {
  const rlimit limit{.rlim_cur = 256 * kMiB, .rlim_max = 256 * kMiB};
  setrlimit(RLIMIT_AS, &limit);
}

TEST(RegionDeathTest, ReservationBeyondTheProcesssLimitIsOutOfMemory) {
  EXPECT_EXIT(
      {
        limit_address_space();
        exit_for_out_of_memory(Region::create({.reserve = kGiB}));
      },
      ::testing::ExitedWithCode(0), "refused to reserve 1073741824 bytes of address space");
}
#endif

/// Sets the limit of file descriptors and returns the one before.
rlim_t set_descriptor_limit(rlim_t descriptors) {
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  const rlim_t before = std::exchange(limit.rlim_cur, descriptors);
  setrlimit(RLIMIT_NOFILE, &limit);
  return before;
}

TEST(RegionDeathTest, MissingFileDescriptorsAreOutOfMemory) {
  EXPECT_EXIT(
      {
        // UBSan looks at objects of types that it has not met by means of a pipe.
        EXPECT_TRUE(Region::create({.reserve = page_size(), .commit = page_size()}));
        set_descriptor_limit(0);
        exit_for_out_of_memory(Region::create({.reserve = page_size(), .commit = page_size()}));
      },
      ::testing::ExitedWithCode(0), "refused to create a memory file");
}

/// Exits with 0 when growth that fails leaves `region` as it was, able to grow later.
[[noreturn]] void grow_without_descriptors(Region& region) {
  const rlim_t before = set_descriptor_limit(0);
  const bool refused = !region.grow(2 * page_size());
  set_descriptor_limit(before);
  const bool as_it_was = region.size() == 0;
  const bool grows_later = region.grow(2 * page_size()).has_value();
  std::_Exit(refused && as_it_was && grows_later && region.data()[page_size()] == std::byte{0} ? 0 : 1);
}

TEST(RegionDeathTest, GrowthThatTheSystemRefusesLeavesTheRegionAsItWas) {
  const auto region = make_region(4, 0);
  EXPECT_EXIT(grow_without_descriptors(*region), ::testing::ExitedWithCode(0), "");
}

/// Exits with 0 when a seal that fails for want of a file keeps every byte, and works later.
[[noreturn]] void seal_without_descriptors(Region& region) {
  const rlim_t before = set_descriptor_limit(0);
  const auto refused = region.seal();
  set_descriptor_limit(before);
  const bool kept = region.data()[0] == std::byte{2} && region.data()[page_size()] == std::byte{1};
  const auto sealed = region.seal();
  const bool same = region.data()[0] == std::byte{2} && region.data()[page_size()] == std::byte{1};
  std::_Exit(!refused && refused.error().code == ErrorCode::out_of_memory && kept && sealed && same ? 0 : 1);
}

TEST(RegionDeathTest, SealThatTheSystemRefusesLosesNothing) {
  const auto region = make_region(2, 2);
  region->data()[0] = std::byte{1};
  region->data()[page_size()] = std::byte{1};
  ASSERT_TRUE(region->seal());
  region->data()[0] = std::byte{2};  // copied on write: the next seal needs a file for it
  EXPECT_EXIT(seal_without_descriptors(*region), ::testing::ExitedWithCode(0), "");
}

/// Whether anything is mapped at `page`; nothing there is read.
bool is_mapped(std::byte* page) { return msync(page, page_size(), MS_ASYNC) == 0; }

TEST(Region, GivesBackItsFileAndItsAddressSpaceWhenItDies) {
  const auto lowest_free_descriptor = [] {
    const int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    close(fd);
    return fd;
  };
  const int before = lowest_free_descriptor();
  auto region = make_region(4, 2);
  std::byte* const base = region->data();
  for (std::size_t page = 0; page < 6; ++page) EXPECT_TRUE(is_mapped(base + page * page_size())) << page;
  region.reset();
  for (std::size_t page = 0; page < 6; ++page) EXPECT_FALSE(is_mapped(base + page * page_size())) << page;
  EXPECT_EQ(lowest_free_descriptor(), before);
}

}  // namespace
}  // namespace driftwood
