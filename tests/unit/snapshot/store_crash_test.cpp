// A process that dies, or is refused something, at any step leaves each snapshot whole or absent.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <functional>

#include "store_support.hpp"

namespace driftwood {
namespace {

using testing::bytes_of;
using testing::FrozenMemory;
using ::testing::HasSubstr;
using testing::snapshot_of;
using testing::TestStore;
using testing::value_of;

constexpr int kDone = 0, kFailed = 4;

/// Runs `work` in a process of its own, and gives its exit status, or minus the signal that ended it.
int in_child(const std::function<int()>& work) {
  const pid_t child = ::fork();
  if (child == 0) {
    int status = kFailed;
    try {
      status = work();
    } catch (const std::exception& error) {
      std::fprintf(stderr, "child: %s\n", error.what());
    }
    ::_exit(status);
  }
  int status = 0;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

/// A step that kills the process when it comes to the n-th.
StoreStep kill_at(int n) {
  auto steps = std::make_shared<std::atomic<int>>(0);
  return [steps, n](std::string_view) -> Result<void> {
    if (++*steps == n) ::kill(::getpid(), SIGKILL);
    return {};
  };
}

/// A step that is refused when it is the n-th; counts all.
struct FailAt {
  std::shared_ptr<std::atomic<int>> steps = std::make_shared<std::atomic<int>>(0);
  int n = 0;
  Result<void> operator()(std::string_view step) const {
    if (++*steps != n) return {};
    return fail(ErrorCode::unavailable, "The test refuses to " + std::string(step) + ".");
  }
};

/// A chain of three snapshots in a store that nobody has open, and a fourth to be saved.
class StoreCrash : public ::testing::Test {
 protected:
  StoreCrash() {
    auto store = open({});
    std::optional<SnapshotId> parent;
    memory_.fill(0, 6 * kChunkSize);
    for (int i = 0; i < 3; ++i) {
      memory_.fill(static_cast<std::size_t>(i) * kChunkSize, 5000);
      parent = value_of(store->save(snapshot_of(memory_, parent), i == 1 ? "middle" : ""));
      saved_.emplace_back(*parent, memory_.plain());
    }
    memory_.fill(4 * kChunkSize, 3 * kChunkSize);
    next_ = snapshot_of(memory_, parent);
    value_of(store->sync());
  }

  std::unique_ptr<Store> open(StoreStep step) const {
    return value_of(Store::open({.folder = path(), .on_step = step}));
  }
  std::filesystem::path path() const { return folder_.path() / "store"; }

  /// Everything that is listed is whole, all of saved_ but `removed` is listed, and nothing is left over.
  void expect_sound(std::optional<SnapshotId> removed = {}) {
    auto store = open({});
    value_of(store->sync());
    std::size_t found = 0;
    for (const SnapshotInfo& info : value_of(store->list())) {
      EXPECT_EQ(info.damage, "");
      const auto checked = store->check(info.id);
      EXPECT_TRUE(checked) << checked.error().message;
      for (const auto& [id, plain] : saved_) {
        if (id != info.id) continue;
        EXPECT_EQ(bytes_of(*value_of(store->load(id)).memory), plain);
        found += id != removed;
      }
    }
    EXPECT_EQ(found, saved_.size() - (removed ? 1 : 0));
    value_of(store->collect());
    for (const char* folder : {"writing", "fresh"}) {
      EXPECT_TRUE(std::filesystem::is_empty(path() / folder)) << folder;
    }
  }
  bool is_listed(const SnapshotId& id) { return open({})->resolve(id.to_hex()).has_value(); }

  TemporaryFolder folder_;
  FrozenMemory memory_{10};
  std::vector<std::pair<SnapshotId, std::vector<std::byte>>> saved_;
  Snapshot next_;
};

TEST_F(StoreCrash, KilledAtEachStepOfASave) {
  int killed = 0;
  for (int n = 1;; ++n) {
    const int status = in_child([&] {
      value_of(open(kill_at(n))->save(next_, "now"));
      return kDone;
    });
    expect_sound();
    auto store = open({});
    const auto now = store->resolve("now");
    if (now) {
      EXPECT_EQ(bytes_of(*value_of(store->load(*now)).memory), memory_.plain()) << "step " << n;
      const SnapshotId id = *now;
      value_of(store->remove(id));
    } else {
      EXPECT_EQ(value_of(store->lineage(saved_.back().first)).size(), 3u);
    }
    for (const SnapshotInfo& info : value_of(store->list())) {
      if (info.parent == saved_.back().first) value_of(store->remove(info.id));  // saved, not yet labelled
    }
    if (status == kDone) break;
    ASSERT_EQ(status, -SIGKILL);
    ++killed;
  }
  EXPECT_GE(killed, 7) << "create, write, seal, publish, label, index, sync, settle";
}

/// The second of three: one has chunks in its file, and it has chunks in another's.
TEST_F(StoreCrash, KilledAtEachStepOfARemoval) {
  const SnapshotId middle = saved_[1].first;
  const Snapshot again = value_of(open({})->load(middle));
  int killed = 0;
  for (int n = 1;; ++n) {
    const int status = in_child([&] {
      value_of(open(kill_at(n))->remove(middle));
      return kDone;
    });
    const bool listed = is_listed(middle);
    EXPECT_EQ(open({})->resolve("middle").has_value(), listed) << "step " << n;
    expect_sound(listed ? std::nullopt : std::optional(middle));
    if (status == kDone) {
      EXPECT_FALSE(listed);
      break;
    }
    ASSERT_EQ(status, -SIGKILL);
    ++killed;
    auto store = open({});
    EXPECT_EQ(value_of(store->save(again, "middle")), middle);
  }
  EXPECT_GE(killed, 2) << "unlist, unlabel";
  // The rest goes, and with it what was kept for it.
  auto store = open({});
  for (const SnapshotInfo& info : value_of(store->list())) value_of(store->remove(info.id));
  EXPECT_EQ(value_of(store->total_bytes()), 0u);
}

TEST_F(StoreCrash, RefusedAtEachStepOfASave) {
  for (int n = 1;; ++n) {
    FailAt step{.n = n};
    {
      auto store = open(step);
      const auto saved = store->save(next_, "now");
      const auto synced = store->sync();
      if (!saved) {
        EXPECT_EQ(saved.error().code, ErrorCode::unavailable);
        EXPECT_THAT(saved.error().message, HasSubstr("The test refuses to"));
      }
      if (saved && synced) {
        EXPECT_LT(*step.steps, n);
        break;
      }
    }
    expect_sound();
    auto store = open({});
    for (const SnapshotInfo& info : value_of(store->list())) {
      if (info.parent == saved_.back().first) value_of(store->remove(info.id));
    }
  }
}

TEST_F(StoreCrash, FileSizeLimitLikeAFullDisk) {
  for (const rlim_t limit : {rlim_t{0}, rlim_t{100}, rlim_t{70'000}, rlim_t{200'000}}) {
    const int status = in_child([&] {
      auto store = open({});
      ::signal(SIGXFSZ, SIG_IGN);
      const rlimit given{limit, limit};
      ::setrlimit(RLIMIT_FSIZE, &given);
      const auto saved = store->save(next_);
      if (saved || saved.error().code != ErrorCode::unavailable) return kFailed;
      return saved.error().message.find("cannot be written: File too large.") == std::string::npos ? kFailed : kDone;
    });
    EXPECT_EQ(status, kDone) << "limit " << limit;
    expect_sound();
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

TEST_F(StoreAfterPowerLoss, ChildOfWhatIsLostIsLostToo) {
  stop_before_the_disk();
  std::filesystem::remove(file_of(fourth_));
  expect_sound();
  EXPECT_FALSE(is_listed(fifth_));
}

TEST(StoreProcesses, ShareOneFolder) {
  TestStore store;
  FrozenMemory memory(12);
  memory.fill(0, 8 * kChunkSize);
  const SnapshotId root = value_of(store->save(snapshot_of(memory)));
  value_of(store->sync());
  const StoreOptions options = store.options();
  store.close();
  constexpr int kProcesses = 3, kTurns = 25;
  std::vector<pid_t> children;
  for (int process = 0; process < kProcesses; ++process) {
    const pid_t child = ::fork();
    if (child == 0) {
      int status = kFailed;
      try {
        auto mine = value_of(Store::open(options));
        FrozenMemory own(value_of(mine->load(root)).memory, static_cast<unsigned>(process + 1));
        SnapshotId parent = root;
        for (int turn = 0; turn < kTurns; ++turn) {
          own.change_something();
          const SnapshotId before = parent;
          parent = value_of(mine->save(snapshot_of(own, parent), "process-" + std::to_string(process)));
          if (before != root && turn % 2 == 0) value_of(mine->remove(before));
          if (turn % 8 == 0) value_of(mine->list());
          if (bytes_of(*value_of(mine->load(parent)).memory) != own.plain()) throw std::runtime_error("other bytes");
        }
        status = kDone;
      } catch (const std::exception& error) {
        std::fprintf(stderr, "process %d: %s\n", process, error.what());
      }
      ::_exit(status);
    }
    children.push_back(child);
  }
  for (const pid_t child : children) {
    int status = 0;
    ::waitpid(child, &status, 0);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == kDone);
  }
  store.reopen();
  const auto infos = value_of(store->list());
  EXPECT_EQ(infos.size(), 1u + kProcesses * (kTurns - kTurns / 2));
  for (const SnapshotInfo& info : infos) value_of(store->check(info.id));
  for (int process = 0; process < kProcesses; ++process) {
    EXPECT_TRUE(store->resolve("process-" + std::to_string(process)));
  }
}

}  // namespace
}  // namespace driftwood
