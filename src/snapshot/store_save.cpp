// How a Store saves: what changed is hashed, what is new is written, and the whole appears by one rename.

#include <fmt/format.h>
#include <unistd.h>

#include <memory>
#include <optional>
#include <string_view>
#include <utility>

#include "snapshot/chunk_plan.hpp"
#include "snapshot/image_chunks.hpp"
#include "snapshot/snapshot_file.hpp"
#include "snapshot/store.hpp"
#include "snapshot/store_state.hpp"

namespace driftwood {
namespace {

/// A file in writing/ that goes away unless it is published.
class Unfinished {
 public:
  explicit Unfinished(File file) : file_(std::move(file)) {}
  ~Unfinished() {
    if (!published_) ::unlink(file_.path().c_str());
  }
  Unfinished(const Unfinished&) = delete;
  Unfinished& operator=(const Unfinished&) = delete;

  File& file() noexcept { return file_; }
  /// False where the snapshot was listed by another save in the meantime.
  Result<bool> publish(const StoreFolder& folder, const Hash& root) {
    DW_TRY(folder.step("seal"));
    DW_TRY(file_.make_read_only());
    DW_TRY_ASSIGN(published_, folder.publish(file_, root));
    return published_;
  }

 private:
  File file_;
  bool published_ = false;
};

Result<void> check_memory_size(const Image& memory) {
  if (memory.size() % kChunkSize == 0 && memory.size() / kChunkSize <= kMaxChunks) return {};
  return fail(ErrorCode::invalid_argument,
              fmt::format("The memory has {} bytes; a snapshot's is a multiple of {} up to {}.", memory.size(),
                          kChunkSize, kMaxChunks * kChunkSize));
}

/// The front as decode_front() would give it.
std::shared_ptr<const Front> front_from(const Manifest& manifest, ChunkIndex index, FrontParts parts,
                                        const Header& header) {
  auto front = std::make_shared<Front>();
  front->header = header;
  front->manifest = manifest;
  front->index = std::move(index);
  front->layout = std::move(parts.layout);
  return front;
}

}  // namespace

/// One save from its beginning to its end.
class Store::Save {
 public:
  Save(State& state, const Manifest& manifest, std::string_view label)
      : state_(state), manifest_(manifest), label_(label) {}

  Result<void> begin(std::uint64_t memory_size) {
    if (!label_.empty()) DW_TRY(check_label(label_));
    DW_TRY_ASSIGN(parts_.manifest, encode_manifest(manifest_));
    parts_.memory_size = memory_size;
    return take_lock();
  }

  /// Finds the parent in the store; where it is known, `like` is compared with the memory that it had.
  void find_base(const Image* like) {
    if (!manifest_.parent) return;
    if (like != nullptr) {
      if (auto known = state_.known.base(*manifest_.parent, *like)) {
        base_ = *std::move(known);
        return;
      }
    }
    if (auto front = state_.front_of(*manifest_.parent)) {
      base_.front = std::make_shared<const Front>(*std::move(front));
    }
  }

  void index(const Image& memory) {
    if (base_.image == nullptr) {
      index_ = index_image(memory, nullptr);
    } else {
      const IndexedImage indexed{*base_.image, base_.front->index, base_.unknown};
      index_ = index_image(memory, &indexed);
    }
    name();
  }
  void index(const ChunkIndex& known) {
    index_ = known;
    name();
  }

  const Hash& root() const noexcept { return root_; }

  /// True when the snapshot is there already. One that is there and damaged is taken away.
  Result<bool> is_there(bool check_memory) {
    if (!state_.folder.has(root_)) return false;
    const auto sound = [&]() -> Result<void> {
      DW_TRY_ASSIGN(Front front, state_.front_of(root_));
      front_ = std::make_shared<const Front>(std::move(front));
      if (!check_memory) return {};
      DW_TRY_ASSIGN(const File file, state_.folder.open_snapshot(root_));
      return state_.check(file, *front_);
    };
    const auto checked = sound();
    if (checked) return true;
    const ErrorCode code = checked.error().code;
    if (code == ErrorCode::unavailable) return std::unexpected(checked.error());
    lock_.reset();
    {
      DW_TRY_ASSIGN(const FolderLock exclusive, state_.folder.lock_exclusive());
      DW_TRY_ASSIGN(auto in_use, FilesInUse::read(state_.folder));
      auto unlisted = state_.unlist(root_, in_use);
      if (!unlisted && unlisted.error().code != ErrorCode::not_found) return std::unexpected(unlisted.error());
    }
    DW_TRY(take_lock());
    return false;
  }

  /// Plans and writes the file; write(file, front, layout, index) adds what encode_front() has not.
  template <typename Write>
  Result<void> write(Write write) {
    const auto usable = [&](const FileReference& file) { return state_.folder.open_referenced(file).has_value(); };
    if (base_.front != nullptr) {
      const PlanBase base{base_.front->header.reference(), base_.front->index, base_.front->layout};
      parts_.layout = plan_layout(index_, &base, usable);
    } else {
      parts_.layout = plan_layout(index_, nullptr, usable);
    }
    const EncodedFront encoded = encode_front(parts_, root_);
    DW_TRY(state_.check_room(encoded.header.file_size));
    DW_TRY_ASSIGN(File file, state_.folder.create_unfinished());
    Unfinished unfinished(std::move(file));
    DW_TRY(state_.folder.step("write"));
    DW_TRY(write(unfinished.file(), encoded, parts_.layout, index_));
    DW_TRY_ASSIGN(const bool published, unfinished.publish(state_.folder, root_));
    if (published) {
      front_ = front_from(manifest_, std::move(index_), std::move(parts_), encoded.header);
    } else {
      DW_TRY_ASSIGN(Front front, state_.front_of(root_));
      front_ = std::make_shared<const Front>(std::move(front));
    }
    return {};
  }

  void remember(const std::shared_ptr<const Image>& memory) { state_.known.remember(root_, front_, memory); }

  Result<SnapshotId> finish() {
    if (!label_.empty()) {
      auto labelled = state_.labels.set(label_, root_);
      if (!labelled) {
        return std::unexpected(std::move(labelled).error().with_context("the snapshot is saved as " + root_.to_hex()));
      }
    }
    lock_.reset();
    state_.settler.ask_for(front_);
    if (state_.options.sync_each_save) DW_TRY(state_.settler.wait());
    return root_;
  }

 private:
  Result<void> take_lock() {
    DW_TRY_ASSIGN(FolderLock lock, state_.folder.lock_shared());
    lock_.emplace(std::move(lock));
    return {};
  }
  void name() {
    parts_.index = index_.encode();
    root_ = parts_.root();
  }

  State& state_;
  const Manifest& manifest_;
  const std::string_view label_;
  std::optional<FolderLock> lock_;
  KnownSnapshots::Base base_;
  ChunkIndex index_;
  FrontParts parts_;
  Hash root_;
  std::shared_ptr<const Front> front_;
};

Result<SnapshotId> Store::save(const Snapshot& snapshot, std::string_view label) {
  const Image& memory = *snapshot.memory;
  DW_TRY(check_memory_size(memory));
  Save save(*state_, snapshot.manifest, label.empty() ? snapshot.manifest.label : label);
  DW_TRY(save.begin(memory.size()));
  save.find_base(&memory);
  save.index(memory);
  DW_TRY_ASSIGN(const bool there, save.is_there(false));
  if (!there) {
    DW_TRY(save.write([&](File& file, const EncodedFront& front, const ChunkLayout& layout, const ChunkIndex& index) {
      return write_image(file, front, layout, index, memory);
    }));
  }
  save.remember(snapshot.memory);
  return save.finish();
}

Result<SnapshotId> Store::save_checked(const Front& front, const ReadChunk& read, std::string_view label) {
  Save save(*state_, front.manifest, label);
  DW_TRY(save.begin(front.header.memory_size));
  save.find_base(nullptr);
  save.index(front.index);
  DW_CHECK(save.root() == front.header.root);
  DW_TRY_ASSIGN(const bool there, save.is_there(true));
  if (!there) {
    DW_TRY(save.write([&](File& file, const EncodedFront& encoded, const ChunkLayout& layout, const ChunkIndex& index) {
      return write_checked(file, encoded, layout, index, read);
    }));
  }
  return save.finish();
}

}  // namespace driftwood
