// Damaged files, and an index that is damaged, gone, or behind the files.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>

#include "snapshot/database.hpp"
#include "store_support.hpp"

namespace driftwood {
namespace {

using ::testing::AnyOf;
using testing::bytes_of;
using testing::FrozenMemory;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::snapshot_of;
using testing::TestStore;
using testing::value_of;

std::string read_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

void write_file(const std::filesystem::path& path, const std::string& text) {
  std::filesystem::remove(path);
  std::ofstream(path, std::ios::binary) << text;
}

class StoreDamage : public ::testing::Test {
 protected:
  StoreDamage() {
    memory_.fill(0, 4 * kChunkSize);
    parent_ = value_of(store_->save(snapshot_of(memory_), "parent"));
    parent_bytes_ = memory_.plain();
    memory_.fill(3 * kChunkSize, 2 * kChunkSize);
    child_ = value_of(store_->save(snapshot_of(memory_, parent_)));
    sound_ = read_file(store_.file_of(child_));
  }

  /// Replaces the child's file and gives what a load says.
  Result<Snapshot> load_child_from(const std::string& text) {
    write_file(store_.file_of(child_), text);
    store_.reopen();
    return store_->load(child_);
  }

  TestStore store_;
  FrozenMemory memory_{8};
  SnapshotId parent_, child_;
  std::vector<std::byte> parent_bytes_;
  std::string sound_;
};

TEST_F(StoreDamage, TruncatedAnywhereIsASentence) {
  for (std::size_t size = 0; size < sound_.size(); size += size < 300 ? 13 : 5003) {
    const auto loaded = load_child_from(sound_.substr(0, size));
    ASSERT_FALSE(loaded) << size;
    EXPECT_EQ(loaded.error().code, ErrorCode::corrupt);
    EXPECT_THAT(loaded.error().message, HasSubstr(child_.to_hex()));
  }
  EXPECT_EQ(bytes_of(*value_of(store_->load(parent_)).memory), parent_bytes_) << "the others are unharmed";
}

TEST_F(StoreDamage, FlippedBitInFrontOfTheChunksIsASentence) {
  for (std::size_t at = 0; at < kChunkSize; at += at < 1500 ? 11 : 3001) {
    std::string flipped = sound_;
    flipped[at] = static_cast<char>(flipped[at] ^ (1 << (at % 8)));
    const auto loaded = load_child_from(flipped);
    ASSERT_FALSE(loaded) << at;
    EXPECT_THAT(loaded.error().code, AnyOf(ErrorCode::corrupt, ErrorCode::incompatible));
  }
}

TEST_F(StoreDamage, FlippedBitInAChunkIsFoundByACheck) {
  std::string flipped = sound_;
  flipped[flipped.size() - kChunkSize - 1] ^= 1;
  ASSERT_TRUE(load_child_from(flipped));
  const auto checked = store_->check(child_);
  EXPECT_EQ(checked.error().code, ErrorCode::corrupt);
  EXPECT_THAT(checked.error().message, HasSubstr("chunk 3 (bytes 196608 to 262143 of memory) has another hash"));
}

TEST_F(StoreDamage, FileOfAnotherSnapshotIsNotTakenForIt) {
  const auto loaded = load_child_from(read_file(store_.file_of(parent_)));
  EXPECT_THAT(loaded.error().message, HasSubstr("holds another snapshot: " + parent_.to_hex()));
}

TEST_F(StoreDamage, OtherVersionIsSaid) {
  std::string newer = sound_;
  newer[8] = 2;
  EXPECT_EQ(load_child_from(newer).error().code, ErrorCode::incompatible);
}

TEST_F(StoreDamage, ParentGoneByForceIsASentence) {
  std::filesystem::remove(store_.file_of(parent_));
  store_.reopen();
  const auto loaded = store_->load(child_);
  EXPECT_EQ(loaded.error().code, ErrorCode::not_found);
  EXPECT_THAT(loaded.error().message, HasSubstr("The file of the snapshot " + parent_.to_hex()));
}

TEST_F(StoreDamage, DamagedFileIsListedAndCanBeRemoved) {
  std::string flipped = sound_;
  flipped[170] ^= 1;
  EXPECT_FALSE(load_child_from(flipped));
  std::filesystem::remove(store_.path() / "index.db");  // the next one reads the files
  const auto info = value_of(store_->info(child_));
  EXPECT_THAT(info.damage, HasSubstr("the root hash is another"));
  EXPECT_EQ(value_of(store_->list()).size(), 2u);
  value_of(store_->remove(child_));
  EXPECT_EQ(value_of(store_->list()).size(), 1u);
}

TEST_F(StoreDamage, SavingAgainReplacesADamagedFile) {
  std::string flipped = sound_;
  flipped[170] ^= 1;
  EXPECT_FALSE(load_child_from(flipped));
  EXPECT_EQ(value_of(store_->save(snapshot_of(memory_, parent_))), child_);
  EXPECT_EQ(bytes_of(*value_of(store_->load(child_)).memory), memory_.plain());
  EXPECT_EQ(value_of(store_->info(child_)).damage, "");
}

TEST_F(StoreDamage, IndexIsMadeAnewFromTheFiles) {
  const auto before = value_of(store_->list());
  const auto index = store_.path() / "index.db";
  const std::string sound = read_file(index);
  const std::vector<std::string> damaged = {"", "no database", sound.substr(0, sound.size() / 2),
                                            std::string(sound.size(), '\xFF')};
  for (const std::string& text : damaged) {
    store_.reopen();
    for (const char* suffix : {"-wal", "-shm"}) std::filesystem::remove(index.string() + suffix);
    write_file(index, text);
    const auto after = value_of(store_->list());
    ASSERT_EQ(after.size(), before.size());
    for (std::size_t i = 0; i < after.size(); ++i) {
      EXPECT_EQ(after[i].id, before[i].id);
      EXPECT_EQ(after[i].own_bytes, before[i].own_bytes);
      EXPECT_EQ(after[i].labels, before[i].labels);
    }
    // What it says decides what a removal may delete.
    store_.reopen();
    const SnapshotId again = value_of(store_->save(snapshot_of(memory_, child_)));
    value_of(store_->remove(again));
    value_of(store_->check(child_));
  }
}

/// As after the machine stopped: pages of the index are lost, and SQLite cannot tell. Of the tables, `snapshots` alone
/// is compared with the folder.
TEST_F(StoreDamage, IndexThatLostRowsDoesNotDecideWhatARemovalTakesAway) {
  store_.file_of(child_);
  store_.close();
  {
    Database index = value_of(Database::open(store_.path() / "index.db"));
    std::vector<std::string> others;
    Statement tables =
        value_of(index.prepare("SELECT name FROM sqlite_master WHERE type = 'table' AND name <> 'snapshots'"));
    while (value_of(tables.next())) others.push_back(tables.text(0));
    for (const std::string& table : others) value_of(index.run(("DELETE FROM " + table).c_str()));
  }
  store_.reopen();
  value_of(store_->remove(parent_));
  value_of(store_->check(child_));
  EXPECT_EQ(value_of(store_->collect()).files, 0u);
  store_.reopen();
  EXPECT_EQ(bytes_of(*value_of(store_->load(child_)).memory), memory_.plain());
}

/// What it says of its chunks is covered by another hash.
TEST_F(StoreDamage, FilesOfADamagedManifestAreKept) {
  std::string flipped = sound_;
  flipped[170] ^= 1;
  EXPECT_FALSE(load_child_from(flipped));
  value_of(store_->remove(parent_));
  EXPECT_FALSE(load_child_from(flipped));
  value_of(store_->collect());
  ASSERT_TRUE(load_child_from(sound_));
  value_of(store_->check(child_));
}

TEST_F(StoreDamage, WhatALaterVersionMayNeedIsKept) {
  std::string newer = sound_;
  newer[8] = 2;
  EXPECT_FALSE(load_child_from(newer));
  value_of(store_->remove(parent_));
  EXPECT_EQ(value_of(store_->collect()).files, 0u);
  ASSERT_TRUE(load_child_from(sound_));
  value_of(store_->check(child_));
  value_of(store_->remove(child_));
  EXPECT_EQ(store_.files_in("kept"), 0u);
}

TEST_F(StoreDamage, IndexOfAnotherVersionIsMadeAnew) {
  std::string text = read_file(store_.path() / "index.db");
  store_.reopen();
  for (const char* suffix : {"-wal", "-shm"})
    std::filesystem::remove(store_.path() / ("index.db" + std::string(suffix)));
  text[63] = 9;  // the last byte of user_version, by SQLite's file format
  write_file(store_.path() / "index.db", text);
  EXPECT_EQ(value_of(store_->list()).size(), 2u);
}

TEST_F(StoreDamage, IndexFollowsTheFiles) {
  value_of(store_->list());
  const auto file = store_.file_of(child_);
  std::filesystem::rename(file, store_.outside() / "elsewhere");
  EXPECT_EQ(value_of(store_->list()).size(), 1u);
  std::filesystem::rename(store_.outside() / "elsewhere", file);
  EXPECT_EQ(value_of(store_->list()).size(), 2u);
  write_file(store_.path() / "snapshots" / "notes.txt", "mine");
  EXPECT_EQ(value_of(store_->list()).size(), 2u);
}

TEST_F(StoreDamage, CollectRemovesWhatWritesLeftBehind) {
  write_file(store_.path() / "writing" / "1-2", "half");
  const auto collected = value_of(store_->collect());
  EXPECT_EQ(collected.files, 1u);
  EXPECT_EQ(collected.bytes, 4u);
  EXPECT_THAT(store_.files_in("writing"), 0u);
  EXPECT_EQ(value_of(store_->collect()).files, 0u);
}

TEST_F(StoreDamage, FolderThatCannotBeMadeIsASentence) {
  write_file(store_.outside() / "file", "");
  const auto opened = Store::open({.folder = store_.outside() / "file" / "store"});
  EXPECT_THAT(opened.error().message, HasSubstr("cannot be made: Not a directory."));
}

}  // namespace
}  // namespace driftwood
