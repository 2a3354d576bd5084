#include "snapshot/store.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <thread>

#include "snapshot/front.hpp"
#include "store_support.hpp"

namespace driftwood {
namespace {

using testing::bytes_of;
using ::testing::ElementsAre;
using testing::FrozenMemory;
using testing::hash_of;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::snapshot_of;
using testing::TestStore;
using testing::value_of;

std::vector<std::byte> memory_in(TestStore& store, const SnapshotId& id) {
  return bytes_of(*value_of(store->load(id)).memory);
}

TEST(Store, GivesBackWhatWasSaved) {
  TestStore store;
  FrozenMemory memory(20);
  memory.fill(3 * kChunkSize - 5, 2 * kChunkSize);
  const Snapshot saved = snapshot_of(memory);
  const SnapshotId id = value_of(store->save(saved));
  for (int i = 0; i < 2; ++i) {
    const Snapshot loaded = value_of(store->load(id));
    EXPECT_EQ(loaded.manifest, saved.manifest);
    EXPECT_EQ(bytes_of(*loaded.memory), memory.plain());
    value_of(store->check(id));
    store.reopen();
  }
}

TEST(Store, KeepsASnapshotOfNothing) {
  TestStore store;
  for (const std::size_t chunks : {0u, 3u}) {
    const Snapshot empty{{}, value_of(Image::compose(chunks * kChunkSize, {}))};
    const SnapshotId id = value_of(store->save(empty));
    store.reopen();
    EXPECT_EQ(memory_in(store, id), std::vector<std::byte>(chunks * kChunkSize));
    value_of(store->check(id));
  }
}

TEST(Store, SameContentHasOneId) {
  TestStore store;
  FrozenMemory memory(8), same(8);
  memory.fill(100, kChunkSize);
  same.fill(100, kChunkSize);
  const SnapshotId id = value_of(store->save(snapshot_of(memory)));
  EXPECT_EQ(value_of(store->save(snapshot_of(same))), id);
  EXPECT_EQ(value_of(store->list()).size(), 1u);
  EXPECT_NE(value_of(store->save(snapshot_of(memory, id))), id) << "the manifest is part of it";
}

TEST(Store, ChildHoldsOnlyWhatChanged) {
  TestStore store;
  FrozenMemory memory(64);
  memory.fill(0, 60 * kChunkSize);
  const SnapshotId parent = value_of(store->save(snapshot_of(memory)));
  memory.fill(10 * kChunkSize, kChunkSize);
  memory.fill(60 * kChunkSize, 2 * kChunkSize);
  for (const bool other_process : {false, true}) {
    // Another process has hashes to compare with, but has not seen the memory before.
    if (other_process) store.reopen();
    const SnapshotId id = value_of(store->save(snapshot_of(memory, parent, other_process ? "a" : "b")));
    EXPECT_LE(value_of(store->info(id)).own_bytes, 4 * kChunkSize);
    EXPECT_EQ(memory_in(store, id), memory.plain());
  }
}

TEST(Store, RandomDeltasReadBackAsAPlainCopy) {
  for (unsigned seed = 1; seed <= 4; ++seed) {
    TestStore store;
    FrozenMemory memory(48, seed);
    std::map<SnapshotId, std::vector<std::byte>> saved;
    std::optional<SnapshotId> parent;
    std::minstd_rand random(seed);
    for (int turn = 0; turn < 60; ++turn) {
      memory.change_something();
      parent = value_of(store->save(snapshot_of(memory, parent)));
      saved[*parent] = memory.plain();
      if (random() % 10 == 0) store.reopen();
      if (random() % 7 == 0) {
        // Goes on from another one, as a thawed actor.
        const auto other = std::next(saved.begin(), static_cast<std::ptrdiff_t>(random() % saved.size()));
        parent = other->first;
        memory = FrozenMemory(value_of(store->load(*parent)).memory, seed * 1000 + static_cast<unsigned>(turn));
      }
      if (random() % 5 == 0 && saved.size() > 2) {
        const auto other = std::next(saved.begin(), static_cast<std::ptrdiff_t>(random() % saved.size()));
        value_of(store->remove(other->first));
        saved.erase(other);
      }
    }
    for (const bool other_process : {false, true}) {
      if (other_process) store.reopen();
      for (const auto& [id, plain] : saved) ASSERT_EQ(memory_in(store, id), plain) << "seed " << seed;
    }
    for (const auto& one : saved) value_of(store->check(one.first));
    for (const auto& one : saved) value_of(store->remove(one.first));
    value_of(store->sync());
    EXPECT_EQ(store.files_in("snapshots") + store.files_in("kept") + store.files_in("fresh"), 0u);
  }
}

TEST(Store, GoesOnFromASnapshotWhoseImageIsGone) {
  TestStore store;
  FrozenMemory memory(32);
  memory.fill(0, 20 * kChunkSize);
  SnapshotId id = value_of(store->save(snapshot_of(memory)));
  memory.clear(5 * kChunkSize, kChunkSize);
  memory.fill(7 * kChunkSize, 10);
  memory.freeze();  // an Image between, which nobody saved: layers of the saved one may be gone
  memory.fill(9 * kChunkSize, 10);
  id = value_of(store->save(snapshot_of(memory, id)));
  EXPECT_EQ(memory_in(store, id), memory.plain());
  EXPECT_LE(value_of(store->info(id)).own_bytes, 3 * kChunkSize);
}

TEST(Store, MemoryThatBecameZeroAndWhoseLayerIsGoneIsSavedAsZero) {
  TestStore store;
  const std::vector<std::byte> ones(kChunkSize, std::byte{1});
  const auto layer_at = [&](std::size_t offset) {
    const Image::Piece piece{offset, ones};
    return value_of(Image::create(8 * kChunkSize, {&piece, 1}));
  };
  const auto stays = layer_at(kChunkSize);
  auto goes = layer_at(5 * kChunkSize);
  Snapshot snapshot;
  snapshot.memory = value_of(Image::compose(8 * kChunkSize, {stays->extents()[0], goes->extents()[0]}));
  const SnapshotId both = value_of(store->save(snapshot));
  snapshot.memory = stays;
  snapshot.manifest.parent = both;
  goes.reset();
  const SnapshotId one = value_of(store->save(snapshot));
  store.reopen();
  EXPECT_EQ(memory_in(store, one), bytes_of(*stays));
}

TEST(Store, SavesAllThatAnotherProcessTookAway) {
  TestStore store;
  FrozenMemory memory(16);
  memory.fill(0, 10 * kChunkSize);
  const SnapshotId parent = value_of(store->save(snapshot_of(memory)));
  value_of(value_of(Store::open(store.options()))->remove(parent));
  memory.fill(0, 100);
  const SnapshotId child = value_of(store->save(snapshot_of(memory, parent)));
  store.reopen();
  EXPECT_EQ(memory_in(store, child), memory.plain());
}

TEST(Store, SnapshotInManyPiecesIsMappedInFew) {
  TestStore store;
  FrozenMemory memory(300);
  memory.fill(0, 300 * kChunkSize);
  std::optional<SnapshotId> id = value_of(store->save(snapshot_of(memory)));
  for (std::size_t turn = 0; turn < 10; ++turn) {
    for (std::size_t i = 0; i < 10; ++i) memory.fill((3 * turn + 30 * i) * kChunkSize, 100);
    id = value_of(store->save(snapshot_of(memory, id)));
  }
  store.reopen();
  EXPECT_EQ(value_of(store->load_front(*id)).first->layout.runs.size(), 200u) << "in its file";
  const auto image = value_of(store->load(*id)).memory;
  EXPECT_EQ(image->extents().size(), kFewExtents);
  EXPECT_EQ(bytes_of(*image), memory.plain());
  FrozenMemory goes_on(image, 2);
  goes_on.fill(150 * kChunkSize, 10);
  const SnapshotId next = value_of(store->save(snapshot_of(goes_on, id)));
  EXPECT_LE(value_of(store->info(next)).own_bytes, 2 * kChunkSize) << "its front, and what changed";
  EXPECT_EQ(memory_in(store, next), goes_on.plain());
}

TEST(Store, OneImageForAllWhoLoad) {
  TestStore store;
  FrozenMemory memory(8);
  memory.fill(0, kChunkSize);
  const SnapshotId id = value_of(store->save(snapshot_of(memory)));
  store.reopen();
  const Snapshot first = value_of(store->load(id));
  EXPECT_EQ(value_of(store->load(id)).memory, first.memory);
}

TEST(Store, RemovedParentKeepsItsChildren) {
  TestStore store;
  FrozenMemory memory(16);
  memory.fill(0, 10 * kChunkSize);
  const SnapshotId parent = value_of(store->save(snapshot_of(memory)));
  memory.fill(0, 100);
  const SnapshotId child = value_of(store->save(snapshot_of(memory, parent)));
  value_of(store->remove(parent));
  EXPECT_EQ(store->load(parent).error().code, ErrorCode::not_found);
  EXPECT_EQ(value_of(store->list()).size(), 1u);
  EXPECT_EQ(memory_in(store, child), memory.plain());
  store.reopen();
  EXPECT_EQ(memory_in(store, child), memory.plain());
  EXPECT_EQ(value_of(store->lineage(child)).size(), 1u);
  EXPECT_EQ(store.files_in("kept"), 1u);
  value_of(store->remove(child));
  EXPECT_EQ(store.files_in("kept"), 0u) << "its last child is gone";
  EXPECT_EQ(value_of(store->total_bytes()), 0u);
}

TEST(Store, ParentAndChildRemovedTogetherKeepOtherChildren) {
  for (const bool parent_first : {true, false}) {
    TestStore store;
    FrozenMemory memory(16);
    memory.fill(0, 10 * kChunkSize);
    const SnapshotId parent = value_of(store->save(snapshot_of(memory)));
    memory.fill(0, 100);
    const SnapshotId child = value_of(store->save(snapshot_of(memory, parent), "child"));
    memory.fill(5 * kChunkSize, 100);
    const SnapshotId grandchild = value_of(store->save(snapshot_of(memory, child)));
    const auto of_grandchild = memory.plain();
    memory.fill(7 * kChunkSize, 100);
    const SnapshotId other = value_of(store->save(snapshot_of(memory, parent)));
    std::vector<SnapshotId> leaving = {parent, child};
    if (!parent_first) std::ranges::reverse(leaving);
    value_of(store->remove(leaving));
    EXPECT_EQ(store->resolve("child").error().code, ErrorCode::not_found);
    EXPECT_EQ(store.files_in("kept"), 2u);
    store.reopen();
    EXPECT_EQ(value_of(store->list()).size(), 2u);
    EXPECT_EQ(memory_in(store, grandchild), of_grandchild);
    EXPECT_EQ(memory_in(store, other), memory.plain());
    value_of(store->remove(std::vector{other, grandchild}));
    EXPECT_EQ(value_of(store->total_bytes()), 0u) << "what was kept went with the last that needed it";
  }
}

TEST(Store, RemovalOfSeveralStopsAtOneThatIsNotThere) {
  TestStore store;
  FrozenMemory memory(4);
  memory.fill(0, kChunkSize);
  const SnapshotId first = value_of(store->save(snapshot_of(memory)));
  const SnapshotId last = value_of(store->save(snapshot_of(memory, first)));
  EXPECT_EQ(store->remove(std::vector{first, hash_of("nobody"), last}).error().code, ErrorCode::not_found);
  EXPECT_EQ(store->load(first).error().code, ErrorCode::not_found);
  EXPECT_EQ(memory_in(store, last), memory.plain());
}

TEST(Store, RemovedSnapshotCanBeSavedAgainBesideWhatIsKeptOfIt) {
  TestStore store;
  FrozenMemory memory(16);
  memory.fill(0, 10 * kChunkSize);
  const SnapshotId grandparent = value_of(store->save(snapshot_of(memory)));
  memory.fill(0, 100);
  const Snapshot parent_snapshot = snapshot_of(memory, grandparent);
  const auto parent_bytes = memory.plain();
  const SnapshotId parent = value_of(store->save(parent_snapshot));
  memory.fill(3 * kChunkSize, 100);
  const SnapshotId child = value_of(store->save(snapshot_of(memory, parent)));
  value_of(store->remove(parent));
  value_of(store->remove(grandparent));
  // Without its parent it lies otherwise in its file than the one that is kept.
  EXPECT_EQ(value_of(store->save(parent_snapshot)), parent);
  store.reopen();
  EXPECT_EQ(memory_in(store, parent), parent_bytes);
  EXPECT_EQ(memory_in(store, child), memory.plain());
  value_of(store->remove(parent));
  store.reopen();
  EXPECT_EQ(memory_in(store, child), memory.plain());
}

TEST(Store, LoadedMemoryOutlivesItsSnapshot) {
  TestStore store;
  FrozenMemory memory(8);
  memory.fill(0, 4 * kChunkSize);
  const SnapshotId id = value_of(store->save(snapshot_of(memory)));
  store.reopen();
  const Snapshot loaded = value_of(store->load(id));
  value_of(store->remove(id));
  EXPECT_EQ(bytes_of(*loaded.memory), memory.plain());
  FrozenMemory goes_on(loaded.memory, 9);
  goes_on.fill(5 * kChunkSize, 10);
  const SnapshotId next = value_of(store->save(snapshot_of(goes_on, id)));
  store.reopen();
  EXPECT_EQ(memory_in(store, next), goes_on.plain());
}

TEST(Store, ListsTheNewestFirstWithTheirLabels) {
  TestStore store;
  FrozenMemory memory(4);
  std::vector<SnapshotId> ids;
  for (int i = 0; i < 3; ++i) {
    Snapshot snapshot = snapshot_of(memory, ids.empty() ? std::nullopt : std::optional(ids.back()));
    snapshot.manifest.created_ns = 1000 + i;
    ids.push_back(value_of(store->save(snapshot, i == 1 ? "middle" : "")));
  }
  value_of(store->set_label("also-middle", ids[1]));
  const auto infos = value_of(store->list());
  ASSERT_EQ(infos.size(), 3u);
  EXPECT_EQ(infos[0].id, ids[2]);
  EXPECT_EQ(infos[2].id, ids[0]);
  EXPECT_THAT(infos[1].labels, ElementsAre("also-middle", "middle"));
  EXPECT_THAT(infos[0].labels, IsEmpty());
  EXPECT_EQ(infos[1].parent, ids[0]);
  EXPECT_EQ(infos[1].created_ns, 1001);
  EXPECT_EQ(infos[1].program, hash_of("program"));
  EXPECT_EQ(infos[1].program_name, "chat.wasm");
  EXPECT_EQ(infos[1].actor, "actor");
  EXPECT_EQ(infos[1].fork_index, 3u);
  EXPECT_EQ(infos[1].memory_size, 4 * kChunkSize);
  const auto lineage = value_of(store->lineage(ids[2]));
  ASSERT_EQ(lineage.size(), 3u);
  EXPECT_EQ(lineage[2].id, ids[0]);
}

TEST(Store, NamesAreLabelsOrBeginningsOfIds) {
  TestStore store;
  FrozenMemory memory(2);
  const SnapshotId first = value_of(store->save(snapshot_of(memory), "first"));
  const SnapshotId second = value_of(store->save(snapshot_of(memory, first), "second"));
  EXPECT_EQ(value_of(store->resolve("first")), first);
  EXPECT_EQ(value_of(store->resolve(second.to_hex())), second);
  EXPECT_EQ(value_of(store->resolve(second.to_hex().substr(0, 12))), second);
  EXPECT_EQ(store->resolve("third").error().code, ErrorCode::not_found);
  EXPECT_EQ(store->resolve("0123456789").error().code, ErrorCode::not_found);
  EXPECT_THAT(store->resolve("abc").error().message, HasSubstr("it has 3 digits, and 4 to 64 are needed"));
  EXPECT_EQ(store->resolve(hash_of("none").to_hex()).error().code, ErrorCode::not_found);
}

TEST(Store, BeginningOfSeveralIdsNamesNone) {
  TestStore store;
  FrozenMemory memory(1);
  std::map<std::string, SnapshotId> by_beginning;
  for (int i = 0; i < 2000; ++i) {
    const SnapshotId id = value_of(store->save(snapshot_of(memory, {}, std::to_string(i))));
    const auto [before, fresh] = by_beginning.emplace(id.to_hex().substr(0, 4), id);
    if (fresh) continue;
    const auto found = store->resolve(before->first);
    EXPECT_EQ(found.error().code, ErrorCode::invalid_argument);
    EXPECT_THAT(found.error().message, HasSubstr("2 snapshots have ids that begin with " + before->first));
    return;
  }
  FAIL() << "no two of 2000 ids begin alike";
}

TEST(Store, LabelMovesToTheSnapshotThatItIsGivenTo) {
  TestStore store;
  FrozenMemory memory(2);
  const SnapshotId first = value_of(store->save(snapshot_of(memory), "now"));
  const SnapshotId second = value_of(store->save(snapshot_of(memory, first), "now"));
  EXPECT_EQ(value_of(store->resolve("now")), second);
  value_of(store->set_label("now", first));
  EXPECT_EQ(value_of(store->resolve("now")), first);
  value_of(store->remove(first));
  EXPECT_EQ(store->resolve("now").error().code, ErrorCode::not_found);
  EXPECT_EQ(store->set_label("now", first).error().code, ErrorCode::not_found);
  EXPECT_EQ(store->remove_label("now").error().code, ErrorCode::not_found);
  value_of(store->set_label("now", second));
  value_of(store->remove_label("now"));
  EXPECT_THAT(value_of(store->info(second)).labels, IsEmpty());
}

TEST(Store, LabelInTheManifestIsGiven) {
  TestStore store;
  FrozenMemory memory(2);
  Snapshot snapshot = snapshot_of(memory);
  snapshot.manifest.label = "from-manifest";
  const SnapshotId id = value_of(store->save(snapshot));
  EXPECT_EQ(value_of(store->resolve("from-manifest")), id);
}

TEST(Store, RefusesLabelsThatCouldBeSomethingElse) {
  TestStore store;
  FrozenMemory memory(2);
  for (const std::string label : {"../up", ".hidden", "-flag", "a b", "x/y", "\xC3\xA9", "a\nb"}) {
    EXPECT_EQ(store->save(snapshot_of(memory), label).error().code, ErrorCode::invalid_argument) << label;
  }
  EXPECT_THAT(store->save(snapshot_of(memory), "cafe").error().message, HasSubstr("could be the beginning of an id"));
  EXPECT_FALSE(store->save(snapshot_of(memory), std::string(65, 'x')));
  EXPECT_THAT(value_of(store->list()), IsEmpty());
  EXPECT_TRUE(store->save(snapshot_of(memory), std::string(64, 'x')));
}

TEST(Store, RefusesMemoryThatIsNoWholeChunks) {
  TestStore store;
  const Snapshot odd{{}, value_of(Image::compose(page_size(), {}))};
  if (page_size() == kChunkSize) GTEST_SKIP() << "here every page is a chunk";
  EXPECT_THAT(store->save(odd).error().message, HasSubstr("a multiple of 65536"));
}

TEST(Store, IsClosedToOthersAndItsFilesToWriting) {
  TestStore store;
  FrozenMemory memory(2);
  const SnapshotId id = value_of(store->save(snapshot_of(memory)));
  struct stat status{};
  ASSERT_EQ(::stat(store.path().c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0700u);
  ASSERT_EQ(::stat(store.file_of(id).c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0400u);
}

TEST(Store, RefusesWhatExceedsItsLimit) {
  TestStore store({.max_bytes = 20 * kChunkSize});
  FrozenMemory memory(32);
  memory.fill(0, 10 * kChunkSize);
  const SnapshotId id = value_of(store->save(snapshot_of(memory)));
  memory.fill(0, 12 * kChunkSize);
  const auto second = store->save(snapshot_of(memory, id));
  EXPECT_EQ(second.error().code, ErrorCode::unavailable);
  EXPECT_THAT(second.error().message, HasSubstr("would exceed its limit of 1.3 MB"));
  EXPECT_EQ(value_of(store->list()).size(), 1u);
  value_of(store->remove(id));
  EXPECT_TRUE(store->save(snapshot_of(memory, id)));
}

TEST(Store, ManyThreadsSaveAndLoadAtOnce) {
  TestStore store;
  FrozenMemory memory(16);
  memory.fill(0, 8 * kChunkSize);
  const SnapshotId parent = value_of(store->save(snapshot_of(memory)));
  const auto base = value_of(store->load(parent)).memory;
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      FrozenMemory mine(base, t + 1);
      SnapshotId id = parent;
      for (int turn = 0; turn < 20; ++turn) {
        mine.change_something();
        id = value_of(store->save(snapshot_of(mine, id), "thread-" + std::to_string(t)));
        EXPECT_EQ(bytes_of(*value_of(store->load(id)).memory), mine.plain());
        if (turn % 5 == 4) {
          EXPECT_GE(value_of(store->list()).size(), 1u);
        }
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(value_of(store->list()).size(), 81u);
}

TEST(Store, DefaultFolderFollowsTheXdgSpecification) {
  ::setenv("XDG_DATA_HOME", "/data", 1);
  EXPECT_EQ(value_of(Store::default_folder()), "/data/driftwood/snapshots");
  ::setenv("XDG_DATA_HOME", "relative", 1);
  ::setenv("HOME", "/home/me", 1);
  EXPECT_EQ(value_of(Store::default_folder()), "/home/me/.local/share/driftwood/snapshots");
  ::unsetenv("XDG_DATA_HOME");
  ::unsetenv("HOME");
  EXPECT_EQ(Store::default_folder().error().code, ErrorCode::not_found);
}

}  // namespace
}  // namespace driftwood
