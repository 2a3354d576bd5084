// Processes that die, or are refused something, while they change a store.
#pragma once

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "snapshot/files_in_use.hpp"
#include "snapshot/transfer.hpp"
#include "store_support.hpp"

namespace driftwood::testing {

inline constexpr int kDone = 0, kFailed = 4;

/// Runs `work` in a process of its own, and gives its exit status, or minus the signal that ended it.
inline int in_child(const std::function<int()>& work) {
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
inline StoreStep kill_at(int n) {
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
    for (const auto& entry : std::filesystem::directory_iterator(path() / "labels")) {
      const std::string label = entry.path().filename();
      EXPECT_TRUE(store->resolve(label)) << label;
    }
    const auto folder = value_of(StoreFolder::open(path(), {}));
    const auto in_use = value_of(FilesInUse::read(folder));
    for (const Hash& header : value_of(folder.list_kept())) EXPECT_TRUE(in_use.contains(header)) << header.to_hex();
  }
  /// The fourth snapshot as a file that was exported from another store.
  std::filesystem::path exported_next() {
    TestStore elsewhere;
    const SnapshotId id = value_of(elsewhere->save(next_));
    const auto file = folder_.path() / "next.dwsnap";
    value_of(export_snapshot(*elsewhere, id, file));
    return file;
  }
  bool is_listed(const SnapshotId& id) { return open({})->resolve(id.to_hex()).has_value(); }

  TemporaryFolder folder_;
  FrozenMemory memory_{10};
  std::vector<std::pair<SnapshotId, std::vector<std::byte>>> saved_;
  Snapshot next_;
};

}  // namespace driftwood::testing
