// A model's matrices rearranged for the CPU's own products, each beside the weight that it was made from.
//
// A cache: it holds nothing that the model's file does not. Immutable once made; may be read from any thread.
#pragma once

#include <ggml.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <unordered_map>
#include <vector>

#include "core/error.hpp"
#include "core/handle.hpp"
#include "device/cpu/packed_matrix.hpp"
#include "llm/graph/packed_cache.hpp"
#include "model/model.hpp"

namespace driftwood {

/// How matrices without a packed form are multiplied.
enum class UnpackedProducts : std::uint8_t {
  ggml,        ///< by ggml's operator, whose kernel depends on the number of tokens
  row_by_row,  ///< so that a token's bits do not depend on its batch
};

class PackedWeights {
 public:
  /// Packs every matrix that a pass multiplies by and that has a packed form; there may be none. Where `cache` is not
  /// empty, they are mapped from that folder (packed_cache.hpp), after they were put there if need be; a folder that
  /// cannot be used is logged. out_of_memory.
  static Result<std::unique_ptr<PackedWeights>> create(const Model& model,
                                                       UnpackedProducts others = UnpackedProducts::ggml,
                                                       const std::filesystem::path& cache = {});

  /// The packed form of a weight of the model; null where it has none.
  const cpu::PackedMatrix* find(const ggml_tensor* weight) const noexcept;
  UnpackedProducts others() const noexcept { return others_; }
  /// What they take beside the file, in bytes.
  std::size_t bytes() const noexcept { return size_; }

 private:
  struct Place;
  static std::vector<Place> places_of(const Model& model);
  /// Fills arena_, or leaves it as it was.
  Result<void> pack(const Model& model, std::span<const Place> places);
  void map(const Model& model, std::span<const Place> places, const std::filesystem::path& cache);
  static void free_bytes(std::byte* bytes) noexcept;
  using Arena = Handle<std::byte, &PackedWeights::free_bytes>;
  explicit PackedWeights(UnpackedProducts others) : others_(others) {}

  UnpackedProducts others_;
  Arena arena_;  ///< null where they are mapped
  std::unique_ptr<MappedPack> mapped_;
  std::size_t size_ = 0;
  std::unordered_map<const ggml_tensor*, cpu::PackedMatrix> matrices_;
};

}  // namespace driftwood
