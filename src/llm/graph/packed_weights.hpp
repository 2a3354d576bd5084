// A model's matrices rearranged for the CPU's own products, each beside the weight that it was made from.
//
// A cache: it holds nothing that the model's file does not. Immutable once made; may be read from any thread.
#pragma once

#include <ggml.h>

#include <cstddef>
#include <memory>
#include <unordered_map>

#include "core/error.hpp"
#include "core/handle.hpp"
#include "device/cpu/packed_matrix.hpp"
#include "model/model.hpp"

namespace driftwood {

class PackedWeights {
 public:
  /// Packs every matrix that a pass multiplies by and that has a packed form; there may be none. out_of_memory.
  static Result<std::unique_ptr<PackedWeights>> create(const Model& model);

  /// The packed form of a weight of the model; null where it has none.
  const cpu::PackedMatrix* find(const ggml_tensor* weight) const noexcept;
  /// What they take beside the file, in bytes.
  std::size_t bytes() const noexcept { return size_; }

 private:
  static void free_bytes(std::byte* bytes) noexcept;
  PackedWeights() = default;

  Handle<std::byte, &PackedWeights::free_bytes> arena_;
  std::size_t size_ = 0;
  std::unordered_map<const ggml_tensor*, cpu::PackedMatrix> matrices_;
};

}  // namespace driftwood
