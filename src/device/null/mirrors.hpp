// Copies of host memory that a device computes in, kept in step with it.
//
// A mirror is a buffer of its own for an imported range. pull() copies what a
// graph reads from the host, push() what it wrote back; both touch only the
// bytes of the graph's own tensors. Any thread may add and remove; a graph whose
// mirrors are removed may not run.
#pragma once

#include <ggml-backend.h>

#include <cstddef>
#include <map>
#include <mutex>
#include <vector>

#include "core/bytes.hpp"
#include "core/error.hpp"

namespace driftwood {

class Mirrors {
 public:
  /// A mirror of `size` bytes at `host`; one that is fixed is filled here and never again.
  Result<ggml_backend_buffer_t> add(std::byte* host, std::size_t size, bool fixed);
  void remove(ggml_backend_buffer_t buffer) noexcept;

  /// Both return the number of bytes copied.
  std::size_t pull(ggml_cgraph* graph);
  std::size_t push(ggml_cgraph* graph);

 private:
  struct Mirror {
    std::byte* host;
    std::byte* copy;
    bool fixed;
  };
  /// Ranges of each mirror, relative to its start.
  using Ranges = std::map<ggml_backend_buffer_t, std::vector<ByteRange>>;

  void add_range(Ranges& ranges, const ggml_tensor* tensor) const;

  std::mutex mutex_;
  std::map<ggml_backend_buffer_t, Mirror> mirrors_;
};

}  // namespace driftwood
