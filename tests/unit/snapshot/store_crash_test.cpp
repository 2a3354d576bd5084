// A process that dies, or is refused something, at any step leaves each snapshot whole or absent.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <vector>

#include "store_crash_support.hpp"

namespace driftwood {
namespace {

using testing::bytes_of;
using testing::FailAt;
using testing::FrozenMemory;
using testing::hash_of;
using ::testing::HasSubstr;
using testing::in_child;
using testing::kDone;
using testing::kFailed;
using testing::kill_at;
using testing::snapshot_of;
using testing::StoreCrash;
using testing::TestStore;
using testing::value_of;

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
  EXPECT_GE(killed, 9) << "create, write, seal, publish, link, label, index, sync, settle";
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

/// A parent and its child, which alone has chunks in its file.
TEST_F(StoreCrash, KilledAtEachStepOfARemovalOfTwo) {
  const std::vector<SnapshotId> two = {saved_[1].first, saved_[2].first};
  std::vector<Snapshot> again;
  for (const SnapshotId& id : two) again.push_back(value_of(open({})->load(id)));
  saved_.resize(1);
  int killed = 0;
  for (int n = 1;; ++n) {
    const int status = in_child([&] {
      value_of(open(kill_at(n))->remove(two));
      return kDone;
    });
    expect_sound();
    EXPECT_TRUE(!is_listed(two[0]) || is_listed(two[1])) << "in the order given, step " << n;
    EXPECT_EQ(open({})->resolve("middle").has_value(), is_listed(two[0])) << "step " << n;
    if (status == kDone) break;
    ASSERT_EQ(status, -SIGKILL);
    ++killed;
    auto store = open({});
    for (std::size_t i = 0; i < two.size(); ++i) {
      EXPECT_EQ(value_of(store->save(again[i], i == 0 ? "middle" : "")), two[i]);
    }
  }
  EXPECT_GE(killed, 4) << "unlist, unlabel, unlist, collect";
  EXPECT_FALSE(is_listed(two[0]) || is_listed(two[1]));
}

/// The last one that needs a file of a snapshot that was removed before.
TEST_F(StoreCrash, KilledAtEachStepOfARemovalThatTakesAKeptFileAway) {
  const SnapshotId last = saved_[2].first;
  const Snapshot again = value_of(open({})->load(last));
  for (int i = 0; i < 2; ++i) value_of(open({})->remove(saved_[static_cast<std::size_t>(i)].first));
  const std::vector<std::byte> plain = saved_[2].second;
  saved_.clear();
  int killed = 0;
  for (int n = 1;; ++n) {
    value_of(open({})->set_label("last", last));
    EXPECT_EQ(std::distance(std::filesystem::directory_iterator(path() / "kept"), {}), 2);
    const auto before = folder_.path() / "before";
    std::filesystem::remove_all(before);
    std::filesystem::copy(path(), before,
                          std::filesystem::copy_options::recursive | std::filesystem::copy_options::copy_symlinks);
    const int status = in_child([&] {
      value_of(open(kill_at(n))->remove(last));
      return kDone;
    });
    if (is_listed(last)) {
      EXPECT_EQ(bytes_of(*value_of(open({})->load(last)).memory), plain) << "step " << n;
    }
    expect_sound();
    if (status == kDone) break;
    ASSERT_EQ(status, -SIGKILL);
    ++killed;
    std::filesystem::remove_all(path());
    std::filesystem::rename(before, path());
  }
  EXPECT_GE(killed, 4) << "unlist, unlabel, collect, collect";
  EXPECT_EQ(value_of(open({})->total_bytes()), 0u);
}

TEST_F(StoreCrash, KilledAtEachStepOfACollection) {
  int killed = 0;
  for (int n = 1;; ++n) {
    std::ofstream(path() / "writing" / "1-2") << "half";
    std::ofstream(path() / "kept" / hash_of("nobody").to_hex()) << "needed by nobody";
    std::filesystem::create_symlink(saved_[0].first.to_hex(), path() / "labels" / ".1-2");
    std::error_code there;
    std::filesystem::create_symlink(hash_of("nobody").to_hex(), path() / "labels" / "dangling", there);
    const int status = in_child([&] {
      value_of(open(kill_at(n))->collect());
      return kDone;
    });
    expect_sound();
    if (status == kDone) break;
    ASSERT_EQ(status, -SIGKILL);
    ++killed;
  }
  EXPECT_EQ(killed, 4) << "writing, kept, a label of nothing, a link";
}

TEST_F(StoreCrash, KilledAtEachStepOfALabel) {
  int killed = 0;
  for (int n = 1;; ++n) {
    value_of(open({})->set_label("middle", saved_[1].first));
    const int status = in_child([&] {
      value_of(open(kill_at(n))->set_label("middle", saved_[2].first));
      return kDone;
    });
    const SnapshotId labelled = value_of(open({})->resolve("middle"));
    EXPECT_EQ(labelled, saved_[status == kDone ? 2 : 1].first) << "step " << n;
    expect_sound();
    if (status == kDone) break;
    ASSERT_EQ(status, -SIGKILL);
    ++killed;
  }
  EXPECT_EQ(killed, 2) << "link, label";
}

TEST_F(StoreCrash, KilledAtEachStepOfAnImport) {
  const auto file = exported_next();
  int killed = 0;
  for (int n = 1;; ++n) {
    const int status = in_child([&] {
      const auto store = open(kill_at(n));
      value_of(import_snapshot(file, *store, {.trusted = {}, .label = "now"}));
      return kDone;
    });
    expect_sound();
    const auto store = open({});
    if (const auto now = store->resolve("now")) {
      EXPECT_EQ(bytes_of(*value_of(store->load(*now)).memory), memory_.plain()) << "step " << n;
    }
    for (const SnapshotInfo& info : value_of(store->list())) {
      if (info.parent == saved_.back().first) value_of(store->remove(info.id));
    }
    if (status == kDone) break;
    ASSERT_EQ(status, -SIGKILL);
    ++killed;
  }
  EXPECT_GE(killed, 9) << "create, write, seal, publish, link, label, index, sync, settle";
}

TEST_F(StoreCrash, KilledAtEachStepOfAnExport) {
  const TemporaryFolder outside;
  const auto file = outside.path() / "last.dwsnap";
  for (const std::optional<int> compression : {std::optional<int>(), std::optional(3)}) {
    int killed = 0;
    for (int n = 1;; ++n) {
      std::filesystem::remove(file);
      const int status = in_child([&] {
        const ExportOptions options{.compression = compression, .signing_key = nullptr, .on_step = kill_at(n)};
        value_of(export_snapshot(*open({}), saved_.back().first, file, options));
        return kDone;
      });
      expect_sound();
      EXPECT_EQ(std::filesystem::exists(file), status == kDone) << "step " << n;
      if (status == kDone) break;
      ASSERT_EQ(status, -SIGKILL);
      ++killed;
    }
    EXPECT_EQ(killed, 4) << "create, write, seal, publish";
#ifdef __linux__
    EXPECT_EQ(std::distance(std::filesystem::directory_iterator(file.parent_path()), {}), 1) << "halves are left";
#endif
    TestStore there;
    EXPECT_EQ(value_of(import_snapshot(file, *there)).id, saved_.back().first);
    EXPECT_EQ(bytes_of(*value_of(there->load(saved_.back().first)).memory), saved_.back().second);
  }
}

TEST_F(StoreCrash, RefusedAtEachStepOfALabel) {
  for (int n = 1; n <= 2; ++n) {
    const auto set = open(FailAt{.n = n})->set_label("middle", saved_[2].first);
    ASSERT_FALSE(set);
    EXPECT_EQ(set.error().code, ErrorCode::unavailable);
    EXPECT_EQ(std::distance(std::filesystem::directory_iterator(path() / "labels"), {}), 1);
    EXPECT_EQ(value_of(open({})->resolve("middle")), saved_[1].first);
  }
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

/// Both write the same snapshot, one as a delta and one whole, and only one file can have its name.
TEST(StoreProcesses, SaveOfTheSameSnapshotReplacesNoFileThatOthersHaveChunksIn) {
  for (const bool settled : {false, true}) {
    FrozenMemory memory(16);
    memory.fill(0, 10 * kChunkSize);
    const Snapshot parent = snapshot_of(memory);
    memory.fill(3 * kChunkSize, 100);
    const Snapshot both = snapshot_of(memory, value_of(TestStore()->save(parent)));
    const auto bytes_of_both = memory.plain();
    std::optional<SnapshotId> child;
    std::unique_ptr<Store> other;
    TestStore store({.on_step = [&](std::string_view step) -> Result<void> {
      if (step != "create" || child) return {};
      value_of(other->save(parent));
      const SnapshotId id = value_of(other->save(both));
      memory.fill(7 * kChunkSize, 100);
      child = value_of(other->save(snapshot_of(memory, id)));
      if (settled) value_of(other->sync());
      return {};
    }});
    StoreOptions options = store.options();
    options.on_step = {};
    other = value_of(Store::open(options));
    const SnapshotId saved = value_of(store->save(both));
    value_of(store->sync());
    value_of(other->sync());
    store.reopen();
    for (const SnapshotInfo& info : value_of(store->list())) {
      const auto checked = store->check(info.id);
      EXPECT_TRUE(checked) << checked.error().message;
    }
    EXPECT_EQ(bytes_of(*value_of(store->load(saved)).memory), bytes_of_both);
    EXPECT_EQ(bytes_of(*value_of(store->load(child.value())).memory), memory.plain());
    EXPECT_EQ(store.files_in("writing"), 0u);
  }
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
