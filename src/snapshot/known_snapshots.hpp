// The snapshots that this process has saved or loaded: their fronts, and which Layers their memory lay in.
//
// A save asks for its parent here, to read and hash only what changed since. Layers are remembered weakly, so nothing
// is kept in memory for it but fronts, up to a limit; the ones used longest ago are forgotten first. Any thread.
// Internal to src/snapshot.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "core/hash.hpp"
#include "memory/image.hpp"
#include "snapshot/front.hpp"

namespace driftwood {

class KnownSnapshots {
 public:
  explicit KnownSnapshots(std::size_t most_bytes = 64 * kMiB) : most_bytes_(most_bytes) {}

  void remember(const Hash& root, std::shared_ptr<const Front> front, const std::shared_ptr<const Image>& image);
  void forget(const Hash& root);

  struct Known {
    std::shared_ptr<const Front> front;
    std::shared_ptr<const Image> image;  ///< null when nobody has it any more
  };
  std::optional<Known> find(const Hash& root);
  struct Base {
    std::shared_ptr<const Front> front;
    std::shared_ptr<const Image> image;  ///< what is left of it; of its forms, the one most like `like`
    std::vector<ByteRange> unknown;      ///< what lay in Layers that are gone
  };
  std::optional<Base> base(const Hash& root, const Image& like);

 private:
  /// An Image as its extents, which do not keep their Layers.
  struct Form {
    struct WeakExtent {
      ByteRange range;
      std::weak_ptr<const Layer> layer;
      std::size_t layer_offset;
    };
    std::size_t size;
    std::vector<WeakExtent> extents;
    std::weak_ptr<const Image> image;

    /// Of the Layers that are left. What lay in others is zero in it, and added to `unknown`.
    std::shared_ptr<const Image> image_of_the_rest(std::vector<ByteRange>& unknown) const;
  };
  struct Entry {
    std::shared_ptr<const Front> front;
    std::vector<Form> forms;  ///< the same memory in different Layers: in memory files, in the store's files
    std::uint64_t last_use = 0;
    std::size_t bytes = 0;
  };
  void make_room();

  const std::size_t most_bytes_;
  std::mutex mutex_;
  std::map<Hash, Entry> entries_;
  std::size_t bytes_ = 0;
  std::uint64_t uses_ = 0;
};

}  // namespace driftwood
