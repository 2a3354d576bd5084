// Writes the stored snapshots of format version 1: make_v1_snapshots FOLDER. It was run once; its output is committed.

#include <cstdio>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>

#include "compat/v1_content.hpp"
#include "memory/image.hpp"
#include "snapshot/signature.hpp"
#include "snapshot/store.hpp"
#include "snapshot/transfer.hpp"

namespace driftwood {
namespace {

Result<Snapshot> snapshot(std::optional<Hash> parent) {
  const auto bytes = compat::memory(parent.has_value());
  const Image::Piece piece{0, bytes};
  DW_TRY_ASSIGN(auto image, Image::create(bytes.size(), {&piece, 1}));
  return Snapshot{compat::manifest(parent), std::move(image)};
}

Result<void> write(const std::filesystem::path& folder) {
  DW_TRY_ASSIGN(auto store, Store::open({.folder = folder / "store"}));
  DW_TRY_ASSIGN(const Snapshot first, snapshot({}));
  DW_TRY_ASSIGN(const SnapshotId parent, store->save(first));
  DW_TRY_ASSIGN(const Snapshot second, snapshot(parent));
  DW_TRY_ASSIGN(const SnapshotId child, store->save(second));
  DW_TRY(store->sync());
  const SigningKey key = SigningKey::generate();
  DW_TRY(key.write(folder / "key.pem"));
  std::filesystem::remove(folder / "key.pem");
  DW_TRY(export_snapshot(*store, child, folder / "mapped.snapshot", {}));
  DW_TRY(export_snapshot(*store, child, folder / "packed-signed.snapshot", {.compression = 9, .signing_key = &key}));
  std::printf("parent %s\nchild  %s\n", parent.to_hex().c_str(), child.to_hex().c_str());
  return {};
}

}  // namespace
}  // namespace driftwood

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: make_v1_snapshots FOLDER\n");
    return 2;
  }
  const auto written = driftwood::write(argv[1]);
  if (!written) std::fprintf(stderr, "%s\n", written.error().to_string().c_str());
  return written ? 0 : 1;
}
