// The graphs of one model by shape, the least recently used ones dropped first.
//
// A cache only: dropping all of it changes no result. One thread at a time.
#pragma once

#include <cstdint>
#include <map>
#include <memory>

#include "llm/graph/transformer_graph.hpp"

namespace driftwood {

class GraphCache {
 public:
  /// Keeps graphs while their scratch memory stays under `max_bytes` in all; at least the last one.
  explicit GraphCache(std::size_t max_bytes) : max_bytes_(max_bytes) {}

  /// The graph of `shape`, or null.
  std::shared_ptr<TransformerGraph> find(const GraphShape& shape);
  std::shared_ptr<TransformerGraph> insert(const GraphShape& shape, std::shared_ptr<TransformerGraph> graph);
  void clear() noexcept;

 private:
  struct Entry {
    std::shared_ptr<TransformerGraph> graph;
    std::uint64_t last_use = 0;
  };

  std::size_t max_bytes_;
  std::size_t bytes_ = 0;
  std::uint64_t uses_ = 0;
  std::map<GraphShape, Entry> entries_;
};

}  // namespace driftwood
