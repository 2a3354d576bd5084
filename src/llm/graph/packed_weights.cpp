#include "llm/graph/packed_weights.hpp"

#include <fmt/format.h>
#include <sys/mman.h>

#include <array>
#include <bit>
#include <cstdlib>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/bytes.hpp"
#include "core/hash.hpp"
#include "core/log.hpp"

namespace driftwood {

namespace {

constexpr std::size_t kCacheLine = 64;
constexpr std::size_t kHugePage = 2 * kMiB;

/// Names what the places have: the model, and how its matrices are packed and laid out.
Hash key_of(const Model& model, std::size_t size) {
  const std::string what = fmt::format("packed {}, {} bytes, {}", cpu::kPackedVersion, size,
                                       std::endian::native == std::endian::little ? "little" : "big");
  Hasher hasher;
  hasher.update(model.hash().bytes);
  hasher.update(std::as_bytes(std::span(what)));
  return hasher.finish();
}

}  // namespace

struct PackedWeights::Place {
  const ggml_tensor* weight;
  ByteRange range;  ///< in the arena
};

/// The weights to pack, in the order in which a pass reads them.
std::vector<PackedWeights::Place> PackedWeights::places_of(const Model& model) {
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

void PackedWeights::free_bytes(std::byte* bytes) noexcept { std::free(bytes); }

Result<std::unique_ptr<PackedWeights>> PackedWeights::create(const Model& model, UnpackedProducts others,
                                                             const std::filesystem::path& cache) {
  std::unique_ptr<PackedWeights> self(new PackedWeights(others));
  const std::vector<Place> places = places_of(model);
  if (places.empty()) return self;
  self->size_ = places.back().range.offset + places.back().range.size;
  if (!cache.empty()) self->map(model, places, cache);
  if (self->mapped_ == nullptr && self->arena_ == nullptr) DW_TRY(self->pack(model, places));

  const std::byte* packed = self->mapped_ != nullptr ? self->mapped_->bytes().data() : self->arena_.get();
  for (const Place& place : places) {
    DW_TRY_ASSIGN(const cpu::PackedMatrix matrix,
                  cpu::PackedMatrix::view(*place.weight, {packed + place.range.offset, place.range.size}));
    self->matrices_.emplace(place.weight, matrix);
  }
  return self;
}

Result<void> PackedWeights::pack(const Model& model, std::span<const Place> places) {
  const std::size_t reserved = align_up(size_, kHugePage);
  Arena arena(static_cast<std::byte*>(std::aligned_alloc(kHugePage, reserved)));
  if (arena == nullptr) {
    return fail(ErrorCode::out_of_memory, fmt::format("There is no memory for the packed weights of {} ({}).",
                                                      model.name(), format_bytes(size_)));
  }
#if defined(MADV_HUGEPAGE)
  ::madvise(arena.get(), reserved, MADV_HUGEPAGE);  // fewer misses of the TLB; it works as well without
#endif
  std::size_t end = 0;
  for (const Place& place : places) {
    std::memset(arena.get() + end, 0, place.range.offset - end);
    DW_TRY(cpu::PackedMatrix::pack(*place.weight, {arena.get() + place.range.offset, place.range.size}));
    end = place.range.offset + place.range.size;
  }
  arena_ = std::move(arena);
  return {};
}

/// Leaves mapped_ or, where only the packing succeeded, arena_.
void PackedWeights::map(const Model& model, std::span<const Place> places, const std::filesystem::path& cache) {
  const auto give_up = [&](const Error& error) {
    log(LogLevel::warning,
        fmt::format("The packed weights of {} are kept by this process alone: {}", model.name(), error.to_string()));
  };
  const auto folder = PackedCache::open(cache, cpu::kPackedVersion);
  if (!folder) return give_up(folder.error());
  const Hash key = key_of(model, size_);
  mapped_ = folder->load(key, size_);
  if (mapped_ != nullptr || !pack(model, places)) return;
  if (const auto stored = folder->store(key, {arena_.get(), size_}); !stored) return give_up(stored.error());
  mapped_ = folder->load(key, size_);
  if (mapped_ != nullptr) arena_.reset();
}

const cpu::PackedMatrix* PackedWeights::find(const ggml_tensor* weight) const noexcept {
  const auto found = matrices_.find(weight);
  return found == matrices_.end() ? nullptr : &found->second;
}

}  // namespace driftwood
