#include "hostcalls/tensor_cache.hpp"

#include <cstring>

namespace driftwood {
namespace {

bool equal(const std::byte* kept, std::span<const std::byte> given) {
  return given.empty() || std::memcmp(kept, given.data(), given.size()) == 0;
}

}  // namespace

TensorCache::Entry* TensorCache::find(const TensorRecords& given) {
  for (auto entry = entries_.begin(); entry != entries_.end(); ++entry) {
    if (entry->tensor_bytes != given.tensors.size() ||
        entry->records.size() != given.tensors.size() + given.ops.size() ||
        !equal(entry->records.data(), given.tensors) ||
        !equal(entry->records.data() + entry->tensor_bytes, given.ops)) {
      continue;
    }
    if (entry != entries_.begin()) entries_.splice(entries_.begin(), entries_, entry);
    return &entries_.front();
  }
  return nullptr;
}

TensorCache::Entry* TensorCache::insert(Entry entry) {
  bytes_ += entry.weight();
  entries_.push_front(std::move(entry));
  while (entries_.size() > 1 && (entries_.size() > kMaxEntries || bytes_ > kMaxBytes)) {
    bytes_ -= entries_.back().weight();
    entries_.pop_back();
  }
  return &entries_.front();
}

void TensorCache::clear() noexcept {
  entries_.clear();
  bytes_ = 0;
}

}  // namespace driftwood
