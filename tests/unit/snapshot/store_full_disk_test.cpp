// A full disk is a sentence, and leaves the store as it was.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>

#include <array>
#include <filesystem>
#include <functional>
#include <optional>

#include "store_crash_support.hpp"

namespace driftwood {
namespace {

using testing::bytes_of;
using testing::FrozenMemory;
using ::testing::HasSubstr;
using testing::in_child;
using testing::kDone;
using testing::kFailed;
using testing::snapshot_of;
using testing::value_of;

class StoreOnAFullDisk : public testing::StoreCrash {};

/// What a child does within a limit on the size of files, which refuses as a full disk does: the first error must say
/// so.
int within_limit(rlim_t limit, const std::function<Result<void>()>& work) {
  ::signal(SIGXFSZ, SIG_IGN);
  const rlimit given{limit, limit};
  ::setrlimit(RLIMIT_FSIZE, &given);
  const auto done = work();
  if (done || done.error().code != ErrorCode::unavailable) return kFailed;
  return done.error().message.find(": File too large.") == std::string::npos ? kFailed : kDone;
}

constexpr std::array<rlim_t, 4> kLimits = {0, 100, 70'000, 200'000};

TEST_F(StoreOnAFullDisk, SaveIsRefused) {
  for (const rlim_t limit : kLimits) {
    const int status = in_child([&] {
      auto store = open({});
      return within_limit(limit, [&]() -> Result<void> {
        DW_TRY(store->save(next_));
        return {};
      });
    });
    EXPECT_EQ(status, kDone) << "limit " << limit;
    expect_sound();
  }
}

TEST_F(StoreOnAFullDisk, ImportIsRefused) {
  const auto file = exported_next();
  for (const rlim_t limit : kLimits) {
    const int status = in_child([&] {
      auto store = open({});
      return within_limit(limit, [&]() -> Result<void> {
        DW_TRY(import_snapshot(file, *store));
        return {};
      });
    });
    EXPECT_EQ(status, kDone) << "limit " << limit;
    expect_sound();
    EXPECT_EQ(value_of(open({})->list()).size(), saved_.size());
  }
}

TEST_F(StoreOnAFullDisk, ExportIsRefused) {
  const auto outside = folder_.path() / "outside";
  std::filesystem::create_directory(outside);
  for (const std::optional<int> compression : {std::optional<int>(), std::optional(3)}) {
    for (const rlim_t limit : kLimits) {
      const int status = in_child([&] {
        auto store = open({});
        return within_limit(limit, [&]() -> Result<void> {
          DW_TRY(export_snapshot(*store, saved_.back().first, outside / "last.dwsnap", {.compression = compression}));
          return {};
        });
      });
      EXPECT_EQ(status, kDone) << "limit " << limit;
      EXPECT_TRUE(std::filesystem::is_empty(outside)) << "limit " << limit;
      expect_sound();
    }
  }
}

TEST(StoreFullDisk, SaveSaysSoAndLeavesTheStoreAsItWas) {
#ifdef __linux__
  const TemporaryFolder folder;
  if (::mount("tmpfs", folder.path().c_str(), "tmpfs", 0, "size=2m") != 0) {
    GTEST_SKIP() << "a small file system to fill cannot be mounted here";
  }
  {
    auto store = value_of(Store::open({.folder = folder.path() / "store"}));
    FrozenMemory memory(64);
    memory.fill(0, 10 * kChunkSize);
    const auto before = memory.plain();
    const SnapshotId id = value_of(store->save(snapshot_of(memory)));
    memory.fill(0, 40 * kChunkSize);
    const auto second = store->save(snapshot_of(memory, id));
    ASSERT_FALSE(second);
    EXPECT_EQ(second.error().code, ErrorCode::unavailable);
    EXPECT_THAT(second.error().message, HasSubstr("No space left on device."));
    value_of(store->check(id));
    EXPECT_EQ(bytes_of(*value_of(store->load(id)).memory), before);
    value_of(store->remove(id));
    EXPECT_EQ(value_of(store->total_bytes()), 0u);
  }
  EXPECT_EQ(::umount2(folder.path().c_str(), MNT_DETACH), 0);
#endif
}

}  // namespace
}  // namespace driftwood
