// A graph of this process as its device worker has it: what was sent, and what changed since.
//
// Belongs to the graph, and is used by whoever uses that: one thread at a time.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <unordered_map>
#include <utility>
#include <vector>

#include "core/bytes.hpp"
#include "device/worker/graph_wire.hpp"

namespace driftwood::worker {

/// What a node holds of a device in its worker; see worker_device.cpp.
struct RemoteImport;

class RemoteGraph {
 public:
  /// The import that a buffer stands for, or null.
  using FindImport = std::function<RemoteImport*(ggml_backend_buffer_t buffer)>;

  /// `id`: not 0. The graph stays where it is.
  RemoteGraph(std::uint64_t id, ggml_cgraph* graph, const FindImport& find_import);

  std::uint64_t id() const noexcept { return id_; }
  std::span<ggml_tensor* const> tensors() const noexcept { return tensors_; }
  /// Which tensor of the graph; it is one of them.
  std::uint32_t index_of(const ggml_tensor* tensor) const { return indices_.at(tensor); }

  /// The whole graph as it was built, at its places of now: what the worker has from then on.
  GraphMessage describe(const FindImport& find_import);
  /// Keeps an input for the next run.
  void set_input(const ggml_tensor* tensor, std::span<const std::byte> bytes);
  /// What changed since the last describe() or changes(), and the inputs set since. Borrowed inputs: until the next
  /// set_input() after forget_inputs().
  RunRequest changes(const FindImport& find_import);
  /// The inputs have been used, or will not be.
  void forget_inputs() noexcept { used_inputs_ = true; }

  /// What the next run reads or writes: an import, and which of its bytes are written.
  struct Use {
    RemoteImport* import;
    std::vector<ByteRange> writes;
  };
  std::vector<Use> uses(const FindImport& find_import) const;

 private:
  /// Of a tensor, as the worker has it.
  struct State {
    std::int64_t ne[GGML_MAX_DIMS];
    std::size_t nb[GGML_MAX_DIMS];
  };
  /// A tensor that lies in an import.
  struct External {
    std::uint32_t index;
    const void* data = nullptr;
    std::uint64_t import = 0;
  };
  /// A node that writes to an external tensor, or to a view of it.
  struct Write {
    const ggml_tensor* node;
    std::uint32_t external;  ///< in externals_
  };

  std::uint32_t add(ggml_tensor* tensor);
  void add_written_rows(const ggml_tensor* node, std::size_t at, std::vector<ByteRange>& writes) const;

  std::uint64_t id_;
  std::vector<ggml_tensor*> tensors_;  ///< each after those that it is made of
  std::unordered_map<const ggml_tensor*, std::uint32_t> indices_;
  std::vector<std::uint32_t> nodes_;
  std::vector<State> built_;  ///< when the graph was adopted: what memory is made for, and no run exceeds
  std::vector<State> states_;
  std::vector<External> externals_;
  std::vector<Write> writes_;
  std::vector<std::pair<std::uint32_t, std::vector<std::byte>>> inputs_;  ///< by the order in which they were set
  bool used_inputs_ = false;
};

}  // namespace driftwood::worker
