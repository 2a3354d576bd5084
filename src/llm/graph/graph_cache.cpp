#include "llm/graph/graph_cache.hpp"

#include <algorithm>

namespace driftwood {

std::shared_ptr<TransformerGraph> GraphCache::find(const GraphShape& shape) {
  const auto found = entries_.find(shape);
  if (found == entries_.end()) return nullptr;
  found->second.last_use = ++uses_;
  return found->second.graph;
}

std::shared_ptr<TransformerGraph> GraphCache::insert(const GraphShape& shape, std::shared_ptr<TransformerGraph> graph) {
  bytes_ += graph->scratch_size();
  while (bytes_ > max_bytes_ && !entries_.empty()) {
    const auto oldest = std::ranges::min_element(entries_, {}, [](const auto& entry) { return entry.second.last_use; });
    bytes_ -= oldest->second.graph->scratch_size();
    entries_.erase(oldest);
  }
  Entry& entry = entries_[shape];
  entry = {std::move(graph), ++uses_};
  return entry.graph;
}

void GraphCache::clear() noexcept {
  entries_.clear();
  bytes_ = 0;
}

}  // namespace driftwood
