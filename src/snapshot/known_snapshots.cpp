#include "snapshot/known_snapshots.hpp"

#include <algorithm>
#include <numeric>
#include <utility>

namespace driftwood {
namespace {

/// A snapshot that was saved from one actor, and loaded for others, seldom has more.
constexpr std::size_t kMostForms = 4;

std::size_t bytes_in(const std::vector<ByteRange>& ranges) {
  return std::accumulate(ranges.begin(), ranges.end(), std::size_t{0},
                         [](std::size_t sum, const ByteRange& range) { return sum + range.size; });
}

}  // namespace

std::shared_ptr<const Image> KnownSnapshots::Form::image_of_the_rest(std::vector<ByteRange>& unknown) const {
  if (auto whole = image.lock()) return whole;
  std::vector<Extent> left;
  for (const WeakExtent& extent : extents) {
    if (auto layer = extent.layer.lock()) {
      left.push_back({extent.range, std::move(layer), extent.layer_offset});
    } else {
      unknown.push_back(extent.range);
    }
  }
  auto rest = Image::compose(size, std::move(left));
  return rest ? *std::move(rest) : nullptr;
}

void KnownSnapshots::remember(const Hash& root, std::shared_ptr<const Front> front,
                              const std::shared_ptr<const Image>& image) {
  Form form{.size = image->size(), .extents = {}, .image = image};
  for (const Extent& extent : image->extents()) {
    form.extents.push_back({extent.range, extent.layer, extent.layer_offset});
  }
  const std::lock_guard lock(mutex_);
  Entry& entry = entries_[root];
  bytes_ -= entry.bytes;
  entry.front = std::move(front);
  if (entry.forms.size() == kMostForms) entry.forms.erase(entry.forms.begin());
  entry.forms.push_back(std::move(form));
  entry.last_use = ++uses_;
  entry.bytes = entry.front->header.data_offset;
  for (const Form& one : entry.forms) entry.bytes += one.extents.size() * sizeof(Form::WeakExtent);
  bytes_ += entry.bytes;
  make_room();
}

void KnownSnapshots::make_room() {
  while (bytes_ > most_bytes_ && entries_.size() > 1) {
    const auto oldest = std::ranges::min_element(entries_, {}, [](const auto& entry) { return entry.second.last_use; });
    bytes_ -= oldest->second.bytes;
    entries_.erase(oldest);
  }
}

void KnownSnapshots::forget(const Hash& root) {
  const std::lock_guard lock(mutex_);
  const auto found = entries_.find(root);
  if (found == entries_.end()) return;
  bytes_ -= found->second.bytes;
  entries_.erase(found);
}

std::optional<KnownSnapshots::Known> KnownSnapshots::find(const Hash& root) {
  const std::lock_guard lock(mutex_);
  const auto found = entries_.find(root);
  if (found == entries_.end()) return std::nullopt;
  found->second.last_use = ++uses_;
  Known known{found->second.front, nullptr};
  for (const Form& form : found->second.forms) {
    if (known.image == nullptr) known.image = form.image.lock();
  }
  return known;
}

std::optional<KnownSnapshots::Base> KnownSnapshots::base(const Hash& root, const Image& like) {
  const std::lock_guard lock(mutex_);
  const auto found = entries_.find(root);
  if (found == entries_.end()) return std::nullopt;
  found->second.last_use = ++uses_;
  Base base;
  base.front = found->second.front;
  std::size_t least = SIZE_MAX;
  for (const Form& form : found->second.forms) {
    std::vector<ByteRange> unknown;
    auto image = form.image_of_the_rest(unknown);
    if (image == nullptr) continue;
    const std::size_t changed = bytes_in(like.changes_since(*image)) + bytes_in(unknown);
    if (changed < least) {
      least = changed;
      base.image = std::move(image);
      base.unknown = std::move(unknown);
    }
  }
  return base;
}

}  // namespace driftwood
