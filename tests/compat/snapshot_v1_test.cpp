// Snapshots that were written when the format's version 1 was new.

#include <gtest/gtest.h>

#include <filesystem>

#include "compat/v1_content.hpp"
#include "memory/image.hpp"
#include "snapshot/store.hpp"
#include "snapshot/transfer.hpp"
#include "support/temporary_folder.hpp"
#include "support/value_of.hpp"

namespace driftwood {
namespace {

using testing::value_of;

const std::filesystem::path kFolder = DW_TEST_V1;
constexpr const char* kParent = "a489e77a7474beac4a428d768d4cd5f7d880c55d8f9380e826e4518cfb4da50b";
constexpr const char* kChild = "50005dd6e8d10186f4e24f2629f01b7c8c3c74924ad716fe4bd601ada33c36f9";

void expect_content(Store& store, const char* id, std::optional<Hash> parent) {
  const Hash root = value_of(Hash::from_hex(id));
  const Snapshot snapshot = value_of(store.load(root));
  EXPECT_EQ(snapshot.manifest, compat::manifest(parent));
  std::vector<std::byte> bytes(snapshot.memory->size());
  snapshot.memory->read({0, bytes.size()}, bytes);
  EXPECT_EQ(bytes, compat::memory(parent.has_value()));
  const auto checked = store.check(root);
  EXPECT_TRUE(checked) << checked.error().message;
}

TEST(SnapshotVersion1, StoreIsRead) {
  const TemporaryFolder folder;
  std::filesystem::create_directories(folder.path() / "store");
  std::filesystem::copy(kFolder / "store" / "snapshots", folder.path() / "store" / "snapshots");
  const auto store = value_of(Store::open({.folder = folder.path() / "store"}));
  EXPECT_EQ(value_of(store->list()).size(), 2u);
  expect_content(*store, kParent, {});
  expect_content(*store, kChild, value_of(Hash::from_hex(kParent)));
}

TEST(SnapshotVersion1, MappedFileIsImported) {
  const TemporaryFolder folder;
  const auto store = value_of(Store::open({.folder = folder.path() / "store"}));
  EXPECT_EQ(value_of(import_snapshot(kFolder / "mapped.snapshot", *store)).id.to_hex(), kChild);
  expect_content(*store, kChild, value_of(Hash::from_hex(kParent)));
}

TEST(SnapshotVersion1, PackedAndSignedFileIsImported) {
  const TemporaryFolder folder;
  const auto store = value_of(Store::open({.folder = folder.path() / "store"}));
  const PublicKey key = value_of(PublicKey::read(kFolder / "key.pem.pub"));
  const auto imported = value_of(import_snapshot(kFolder / "packed-signed.snapshot", *store, {.trusted = {key}}));
  EXPECT_EQ(imported.id.to_hex(), kChild);
  EXPECT_EQ(imported.signer, key);
  expect_content(*store, kChild, value_of(Hash::from_hex(kParent)));
}

/// The same content has the same name in every version that writes version 1.
TEST(SnapshotVersion1, IsStillWrittenUnderTheSameName) {
  const TemporaryFolder folder;
  const auto store = value_of(Store::open({.folder = folder.path() / "store"}));
  const auto bytes = compat::memory(false);
  const Image::Piece piece{0, bytes};
  const Snapshot snapshot{compat::manifest({}), value_of(Image::create(bytes.size(), {&piece, 1}))};
  EXPECT_EQ(value_of(store->save(snapshot)).to_hex(), kParent);
}

}  // namespace
}  // namespace driftwood
