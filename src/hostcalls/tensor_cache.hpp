// Checked and built tensor programs of one guest, by the exact bytes of their records.
//
// A guest that runs the same records again pays for comparing them, not for checking
// and building them. Only a cache: it may be cleared at any time. One thread at a time.
#pragma once

#include <list>
#include <memory>
#include <vector>

#include "device/graph.hpp"
#include "hostcalls/tensor_check.hpp"

namespace driftwood {

class TensorCache {
 public:
  struct Entry {
    std::vector<std::byte> records;  ///< of the tensors, then of the ops
    std::size_t tensor_bytes = 0;    ///< how many of them are tensors'
    TensorProgram program;
    std::unique_ptr<Graph> graph;

    std::size_t weight() const noexcept { return records.size(); }
  };

  /// The entry of exactly these records, or null. It dies with the next insert or clear.
  Entry* find(const TensorRecords& given);
  /// Takes an entry in, and drops those unused for longest where there are too many.
  Entry* insert(Entry entry);
  void clear() noexcept;
  std::size_t size() const noexcept { return entries_.size(); }

 private:
  // Together about what a model of 80 layers needs when it runs each layer by records of its own.
  static constexpr std::size_t kMaxEntries = 128;
  static constexpr std::size_t kMaxBytes = std::size_t{1} << 20;

  std::list<Entry> entries_;  ///< most recently used first
  std::size_t bytes_ = 0;
};

}  // namespace driftwood
