// Manifests and memories that the tests of snapshots share.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "core/error.hpp"
#include "memory/image.hpp"
#include "memory/region.hpp"
#include "snapshot/chunk_index.hpp"
#include "snapshot/manifest.hpp"
#include "support/value_of.hpp"

namespace driftwood::testing {

inline Hash hash_of(std::string_view text) { return hash_bytes(std::as_bytes(std::span(text))); }

/// Every member set to something.
inline Manifest full_manifest() {
  Manifest manifest;
  manifest.program = {hash_of("program"), "chat.wasm"};
  manifest.abi_version = 1;
  manifest.actor = "first";
  manifest.label = "before-lunch";
  manifest.created_ns = 1'795'000'000'123'456'789;
  manifest.parent = hash_of("parent");
  manifest.fork_index = 3;
  manifest.globals = {{.type = WasmType::i32, .bits = {1, 2, 3, 4}},
                      {.type = WasmType::i64, .bits = {1, 2, 3, 4, 5, 6, 7, 255}},
                      {.type = WasmType::f32, .bits = {0, 0, 192, 127}},
                      {.type = WasmType::f64, .bits = {0, 0, 0, 0, 0, 0, 248, 255}},
                      {.type = WasmType::v128, .bits = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}}};
  manifest.models = {{1, "chat", hash_of("model a")}, {3, "embed", hash_of("model b")}};
  manifest.wasi.arguments = {"chat", "--flag=\"x\"", "\xC3\xA9\xE2\x82\xAC"};
  manifest.wasi.environment = {{"HOME", "/"}, {"EMPTY", ""}, {"EQUALS", "a=b"}};
  manifest.wasi.directories = {{"/srv/data", "/data", true}, {".", "/work", false}};
  manifest.numerics = {"cpu", "x86_64", "ggml 0.26", {"avx2", "fma"}, 0};
  manifest.limits = {std::uint64_t{4} << 30, 60'000, 1u << 20};
  manifest.determinism = Manifest::Determinism{UINT64_MAX, 17, -5};
  return manifest;
}

/// A memory to freeze again and again, with a plain copy of what it must hold.
class FrozenMemory {
 public:
  explicit FrozenMemory(std::size_t chunks, unsigned seed = 1)
      : region_(value_of(Region::create({.reserve = chunks * kChunkSize, .commit = chunks * kChunkSize}))),
        plain_(chunks * kChunkSize),
        random_(seed) {}
  /// Goes on from an Image, as a thawed actor does.
  FrozenMemory(std::shared_ptr<const Image> image, unsigned seed) : plain_(image->size()), random_(seed) {
    image->read({0, image->size()}, plain_);
    const std::size_t size = image->size();
    region_ = value_of(Region::create_over(std::move(image), {.reserve = size, .commit = size}));
  }

  /// Random bytes in a range.
  void fill(std::size_t offset, std::size_t size) {
    for (std::size_t i = 0; i < size; ++i) plain_[offset + i] = static_cast<std::byte>(random_());
    std::memcpy(region_->data() + offset, plain_.data() + offset, size);
  }
  void clear(std::size_t offset, std::size_t size) {
    std::fill_n(plain_.begin() + static_cast<std::ptrdiff_t>(offset), size, std::byte{0});
    std::memset(region_->data() + offset, 0, size);
  }
  /// Fills or clears some ranges of different sizes.
  void change_something() {
    for (std::size_t i = 1 + random_() % 5; i > 0; --i) {
      const std::size_t offset = random_() % plain_.size();
      const std::size_t largest =
          std::min<std::size_t>(plain_.size() - offset, random_() % 3 == 0 ? 5 * kChunkSize : 3000);
      const std::size_t size = 1 + random_() % largest;
      if (random_() % 4 == 0) {
        clear(offset, size);
      } else {
        fill(offset, size);
      }
    }
  }

  std::shared_ptr<const Image> freeze() { return value_of(region_->seal()); }
  const std::vector<std::byte>& plain() const { return plain_; }

 private:
  std::unique_ptr<Region> region_;
  std::vector<std::byte> plain_;
  std::minstd_rand random_;
};

inline std::vector<std::byte> bytes_of(const Image& image) {
  std::vector<std::byte> bytes(image.size());
  image.read({0, image.size()}, bytes);
  return bytes;
}

}  // namespace driftwood::testing
