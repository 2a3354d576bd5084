#include "llm/graph/packed_weights.hpp"

#include <fmt/format.h>
#include <sys/mman.h>

#include <array>
#include <cstdlib>
#include <span>
#include <string_view>
#include <vector>

#include "core/bytes.hpp"

namespace driftwood {

namespace {

constexpr std::size_t kCacheLine = 64;
constexpr std::size_t kHugePage = 2 * kMiB;

struct Place {
  const ggml_tensor* weight;
  ByteRange range;  ///< in the arena
};

/// The weights to pack, in the order in which a pass reads them.
std::vector<Place> places_of(const Model& model) {
  static constexpr std::array<std::string_view, 8> kMatrices = {
      "attn_qkv.weight",    "attn_q.weight",   "attn_k.weight", "attn_v.weight",
      "attn_output.weight", "ffn_gate.weight", "ffn_up.weight", "ffn_down.weight"};
  std::vector<Place> places;
  std::size_t end = 0;
  const auto add = [&](const ggml_tensor* weight) {
    if (weight == nullptr) return;
    // A type or shape without a packed form stays as it lies in the file.
    const auto bytes = cpu::PackedMatrix::packed_bytes(*weight);
    if (!bytes) return;
    places.push_back({weight, {end, *bytes}});
    end = align_up(end + *bytes, kCacheLine);
  };
  for (std::uint32_t layer = 0; layer < model.hyperparameters().n_layer; ++layer) {
    for (const std::string_view name : kMatrices) add(model.layer_weight(layer, name));
  }
  add(model.weight("output.weight"));
  return places;
}

}  // namespace

void PackedWeights::free_bytes(std::byte* bytes) noexcept { std::free(bytes); }

Result<std::unique_ptr<PackedWeights>> PackedWeights::create(const Model& model, UnpackedProducts others) {
  std::unique_ptr<PackedWeights> self(new PackedWeights(others));
  const std::vector<Place> places = places_of(model);
  if (places.empty()) return self;

  self->size_ = places.back().range.offset + places.back().range.size;
  const std::size_t reserved = align_up(self->size_, kHugePage);
  self->arena_.reset(static_cast<std::byte*>(std::aligned_alloc(kHugePage, reserved)));
  if (self->arena_ == nullptr) {
    return fail(ErrorCode::out_of_memory, fmt::format("There is no memory for the packed weights of {} ({}).",
                                                      model.name(), format_bytes(self->size_)));
  }
#if defined(MADV_HUGEPAGE)
  ::madvise(self->arena_.get(), reserved, MADV_HUGEPAGE);  // fewer misses of the TLB; it works as well without
#endif
  for (const Place& place : places) {
    const std::span<std::byte> into(self->arena_.get() + place.range.offset, place.range.size);
    DW_TRY_ASSIGN(const cpu::PackedMatrix matrix, cpu::PackedMatrix::pack(*place.weight, into));
    self->matrices_.emplace(place.weight, matrix);
  }
  return self;
}

const cpu::PackedMatrix* PackedWeights::find(const ggml_tensor* weight) const noexcept {
  const auto found = matrices_.find(weight);
  return found == matrices_.end() ? nullptr : &found->second;
}

}  // namespace driftwood
