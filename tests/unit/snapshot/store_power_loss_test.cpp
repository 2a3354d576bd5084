// What is left of the last saves when the machine stops is adopted whole, or removed.

#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "store_crash_support.hpp"

namespace driftwood {
namespace {

using testing::bytes_of;
using testing::in_child;
using testing::kDone;
using testing::kill_at;
using testing::snapshot_of;
using testing::StoreCrash;
using testing::value_of;

/// What is left when the machine stops before a save has reached the disk: the file under its name of that start of the
/// machine, with other bytes.
class StoreAfterPowerLoss : public StoreCrash {
 protected:
  /// Saves the fourth snapshot and a child of it, and stops before either is on the disk.
  void stop_before_the_disk() {
    auto store = open([](std::string_view step) -> Result<void> {
      if (step == "sync") return fail(ErrorCode::unavailable, "The machine stops here.");
      return {};
    });
    fourth_ = value_of(store->save(next_));
    memory_.fill(9 * kChunkSize, kChunkSize);
    fifth_ = value_of(store->save(snapshot_of(memory_, fourth_), "fifth"));
    EXPECT_FALSE(store->sync());
    store.reset();
    for (const auto& entry : std::filesystem::directory_iterator(path() / "fresh")) fresh_.push_back(entry.path());
    for (auto& file : fresh_) {
      const auto name = file.filename().string();
      const auto earlier = path() / "fresh" / ("0123456789abcdef" + name.substr(name.find('-')));
      std::filesystem::rename(file, earlier);
      file = earlier;
    }
    ASSERT_EQ(fresh_.size(), 2u);
  }
  std::filesystem::path file_of(const SnapshotId& id) const {
    return path() / "fresh" / ("0123456789abcdef-" + id.to_hex());
  }

  SnapshotId fourth_, fifth_;
  std::vector<std::filesystem::path> fresh_;
};

TEST_F(StoreAfterPowerLoss, WhatReachedTheDiskIsKept) {
  stop_before_the_disk();
  expect_sound();
  EXPECT_TRUE(is_listed(fourth_));
  EXPECT_EQ(bytes_of(*value_of(open({})->load(fifth_)).memory), memory_.plain());
}

TEST_F(StoreAfterPowerLoss, WhatIsNotWholeIsAbsent) {
  stop_before_the_disk();
  // Its size had reached the disk, and its last bytes had not.
  const auto size = std::filesystem::file_size(file_of(fifth_));
  std::filesystem::permissions(file_of(fifth_), std::filesystem::perms::owner_all);
  std::filesystem::resize_file(file_of(fifth_), size - 50'000);
  std::filesystem::resize_file(file_of(fifth_), size);
  expect_sound();
  EXPECT_TRUE(is_listed(fourth_));
  EXPECT_FALSE(is_listed(fifth_));
  EXPECT_EQ(open({})->resolve("fifth").error().code, ErrorCode::not_found);
}

/// The process that looks through what the machine left is ended in turn: the next one goes on.
TEST_F(StoreAfterPowerLoss, KilledAtEachStepOfLookingThrough) {
  stop_before_the_disk();
  std::filesystem::permissions(file_of(fifth_), std::filesystem::perms::owner_all);
  std::filesystem::resize_file(file_of(fifth_), std::filesystem::file_size(file_of(fifth_)) - 1);
  const auto before = folder_.path() / "before";
  const auto deep = std::filesystem::copy_options::recursive | std::filesystem::copy_options::copy_symlinks;
  std::filesystem::copy(path(), before, deep);
  int killed = 0;
  for (int n = 1;; ++n) {
    std::filesystem::remove_all(path());
    std::filesystem::copy(before, path(), deep);
    const int status = in_child([&] {
      open(kill_at(n));
      return kDone;
    });
    expect_sound();
    EXPECT_TRUE(is_listed(fourth_)) << "step " << n;
    EXPECT_FALSE(is_listed(fifth_)) << "step " << n;
    if (status == kDone) break;
    ASSERT_EQ(status, -SIGKILL);
    ++killed;
  }
  EXPECT_EQ(killed, 2) << "adopt, collect";
}

TEST_F(StoreAfterPowerLoss, ChildOfWhatIsLostIsLostToo) {
  stop_before_the_disk();
  std::filesystem::remove(file_of(fourth_));
  expect_sound();
  EXPECT_FALSE(is_listed(fifth_));
}

}  // namespace
}  // namespace driftwood
