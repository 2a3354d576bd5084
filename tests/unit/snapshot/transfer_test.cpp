#include "snapshot/transfer.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>

#include "store_support.hpp"

namespace driftwood {
namespace {

using ::testing::AnyOf;
using testing::bytes_of;
using testing::FrozenMemory;
using ::testing::HasSubstr;
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

/// A store with a parent and a child that lies in part in the parent's file, and another store to carry it to.
class Transfer : public ::testing::TestWithParam<std::optional<int>> {
 protected:
  Transfer() {
    memory_.fill(0, 5 * kChunkSize);
    memory_.clear(2 * kChunkSize, kChunkSize);
    parent_ = value_of(here_->save(snapshot_of(memory_)));
    memory_.fill(7 * kChunkSize + 5, 30'000);
    child_ = value_of(here_->save(snapshot_of(memory_, parent_)));
  }

  ExportOptions options(const SigningKey* key = nullptr) const { return {GetParam(), key}; }
  std::filesystem::path file() const { return here_.outside() / "carried.snapshot"; }

  FrozenMemory memory_{10};
  TestStore here_, there_;
  SnapshotId parent_, child_;
};

INSTANTIATE_TEST_SUITE_P(Encodings, Transfer, ::testing::Values(std::nullopt, std::optional(3)),
                         [](const auto& param) { return param.param ? "Packed" : "Mapped"; });

TEST_P(Transfer, CarriesAWholeSnapshotUnderTheSameId) {
  const auto info = value_of(export_snapshot(*here_, child_, file(), options()));
  EXPECT_EQ(info.bytes, std::filesystem::file_size(file()));
  EXPECT_EQ(info.memory_bytes, 5 * kChunkSize);
  EXPECT_EQ(value_of(import_snapshot(file(), *there_)).id, child_);
  for (int i = 0; i < 2; ++i) {
    const Snapshot carried = value_of(there_->load(child_));
    EXPECT_EQ(bytes_of(*carried.memory), memory_.plain());
    EXPECT_EQ(carried.manifest, value_of(here_->load(child_)).manifest);
    value_of(there_->check(child_));
    there_.reopen();
  }
}

TEST_P(Transfer, ImportWritesNoChunkThatTheParentHas) {
  value_of(export_snapshot(*here_, parent_, here_.outside() / "parent", options()));
  value_of(export_snapshot(*here_, child_, file(), options()));
  value_of(import_snapshot(here_.outside() / "parent", *there_));
  value_of(import_snapshot(file(), *there_));
  EXPECT_LE(value_of(there_->info(child_)).own_bytes, 2 * kChunkSize);
  EXPECT_EQ(bytes_of(*value_of(there_->load(child_)).memory), memory_.plain());
}

TEST_P(Transfer, ImportOfWhatIsThereChangesNothing) {
  value_of(export_snapshot(*here_, child_, file(), options()));
  EXPECT_EQ(value_of(import_snapshot(file(), *here_)).id, child_);
  EXPECT_EQ(value_of(here_->list()).size(), 2u);
}

TEST_P(Transfer, ImportReplacesADamagedCopy) {
  value_of(export_snapshot(*here_, child_, file(), options()));
  value_of(import_snapshot(file(), *there_));
  const auto damaged = there_.file_of(child_);
  std::string text = read_file(damaged);
  text[text.size() - 100] ^= 1;
  write_file(damaged, text);
  there_.reopen();
  EXPECT_THAT(there_->check(child_).error().message, HasSubstr("has another hash"));
  EXPECT_EQ(value_of(import_snapshot(file(), *there_)).id, child_);
  value_of(there_->check(child_));
}

TEST_P(Transfer, RefusesEachDamagedFile) {
  const SigningKey key = SigningKey::generate();
  value_of(export_snapshot(*here_, child_, file(), options(&key)));
  const std::string sound = read_file(file());
  const auto bad = here_.outside() / "bad";
  const auto expect_refused = [&](const std::string& text, const std::string& what) {
    write_file(bad, text);
    const auto imported = import_snapshot(bad, *there_);
    ASSERT_FALSE(imported) << what;
    EXPECT_THAT(imported.error().code, AnyOf(ErrorCode::corrupt, ErrorCode::incompatible)) << what;
    EXPECT_EQ(imported.error().message.back(), '.') << imported.error().message;
  };
  for (std::size_t at = 0; at < sound.size(); at += at < 200 ? 7 : 4001) {
    std::string flipped = sound;
    flipped[at] = static_cast<char>(flipped[at] ^ (1 << (at % 8)));
    expect_refused(flipped, "byte " + std::to_string(at));
    expect_refused(sound.substr(0, at), "cut to " + std::to_string(at));
  }
  expect_refused(sound + "x", "a byte more");
  EXPECT_TRUE(value_of(there_->list()).empty());
  EXPECT_EQ(value_of(there_->total_bytes()), 0u);
  EXPECT_EQ(there_.files_in("writing"), 0u);
}

TEST_P(Transfer, SignatureOfATrustedKeyIsAskedFor) {
  const SigningKey mine = SigningKey::generate(), other = SigningKey::generate();
  value_of(export_snapshot(*here_, child_, file(), options(&mine)));
  EXPECT_THAT(import_snapshot(file(), *there_, {.trusted = {other.public_key()}}).error().message,
              HasSubstr("is not one of the 1 that are trusted"));
  EXPECT_TRUE(value_of(there_->list()).empty());
  const auto info = value_of(import_snapshot(file(), *there_, {.trusted = {other.public_key(), mine.public_key()}}));
  EXPECT_EQ(info.signer, mine.public_key());
  EXPECT_EQ(value_of(read_snapshot_info(file())).signer, mine.public_key());

  value_of(export_snapshot(*here_, parent_, here_.outside() / "unsigned", options()));
  EXPECT_THAT(import_snapshot(here_.outside() / "unsigned", *there_, {.trusted = {mine.public_key()}}).error().message,
              HasSubstr("is not signed"));
}

TEST_P(Transfer, ExportRefusesADamagedSnapshot) {
  const auto damaged = here_.file_of(parent_);
  std::string text = read_file(damaged);
  text[text.size() - 100] ^= 1;
  write_file(damaged, text);
  here_.reopen();
  EXPECT_EQ(export_snapshot(*here_, child_, file(), options()).error().code, ErrorCode::corrupt);
  EXPECT_FALSE(std::filesystem::exists(file()));
}

TEST_P(Transfer, ExportReplacesNoFile) {
  write_file(file(), "mine");
  EXPECT_THAT(export_snapshot(*here_, child_, file(), options()).error().message, HasSubstr("is there already"));
  EXPECT_EQ(read_file(file()), "mine");
}

TEST_P(Transfer, LabelIsGivenOnImport) {
  value_of(export_snapshot(*here_, child_, file(), options()));
  value_of(import_snapshot(file(), *there_, {.label = "carried"}));
  EXPECT_EQ(value_of(there_->resolve("carried")), child_);
}

TEST_P(Transfer, ImportTakesNoLabelAway) {
  Snapshot labelled = snapshot_of(memory_, child_);
  labelled.manifest.label = "mine";
  const SnapshotId id = value_of(here_->save(labelled));
  value_of(export_snapshot(*here_, id, file(), options()));
  const SnapshotId other = value_of(there_->save(snapshot_of(memory_, {}, "other"), "mine"));
  value_of(import_snapshot(file(), *there_));
  EXPECT_EQ(value_of(there_->resolve("mine")), other);
  value_of(there_->remove_label("mine"));
  value_of(import_snapshot(file(), *there_));
  EXPECT_EQ(value_of(there_->resolve("mine")), id);
}

TEST_F(Transfer, RefusesAPartOfASnapshot) {
  const auto imported = import_snapshot(here_.file_of(child_), *there_);
  EXPECT_EQ(imported.error().code, ErrorCode::invalid_argument);
  EXPECT_THAT(imported.error().message, HasSubstr("other chunks lie in the file of " + parent_.to_hex()));
}

TEST_F(Transfer, RefusesWhatIsNoSnapshot) {
  write_file(file(), "GGUF and so on");
  EXPECT_THAT(import_snapshot(file(), *there_).error().message, HasSubstr("is not a Driftwood snapshot"));
  write_file(file(), "");
  EXPECT_EQ(import_snapshot(file(), *there_).error().code, ErrorCode::corrupt);
  EXPECT_EQ(import_snapshot(here_.outside() / "none", *there_).error().code, ErrorCode::not_found);
  EXPECT_EQ(import_snapshot(here_.outside(), *there_).error().code, ErrorCode::invalid_argument);
  EXPECT_EQ(export_snapshot(*here_, child_, file(), {.compression = 0}).error().code, ErrorCode::invalid_argument);
  EXPECT_EQ(export_snapshot(*here_, child_, "/none/file", {}).error().code, ErrorCode::not_found);
}

TEST_F(Transfer, InfoTellsWhatAFileHolds) {
  const auto info = value_of(read_snapshot_info(here_.file_of(child_)));
  EXPECT_EQ(info.id, child_);
  EXPECT_EQ(info.manifest.parent, parent_);
  EXPECT_EQ(info.memory_size, 10 * kChunkSize);
  EXPECT_EQ(info.chunks, 5u);
  EXPECT_EQ(info.own_chunks, 1u);
  EXPECT_FALSE(info.packed);
  EXPECT_FALSE(info.signer);
}

TEST_F(Transfer, ScatteredMemoryIsCarriedWithItsHoles) {
  FrozenMemory scattered(1200);
  for (std::size_t chunk = 0; chunk < 1200; chunk += 2) scattered.fill(chunk * kChunkSize + 17, 1);
  const SnapshotId id = value_of(here_->save(snapshot_of(scattered)));
  value_of(export_snapshot(*here_, id, file(), {}));
  value_of(import_snapshot(file(), *there_));
  EXPECT_EQ(bytes_of(*value_of(there_->load(id)).memory), scattered.plain());
  EXPECT_LE(value_of(there_->load(id)).memory->extents().size(), 256u);

  // A hole is covered by no hash.
  std::string text = read_file(file());
  text[text.size() - kChunkSize - 10] = 'x';
  write_file(file(), text);
  EXPECT_THAT(import_snapshot(file(), *there_).error().message, HasSubstr("is not zero"));
}

}  // namespace
}  // namespace driftwood
