// What the stored snapshots of format version 1 hold. Never changed: a snapshot with more in it gets a file of its own.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "core/hash.hpp"
#include "snapshot/manifest.hpp"

namespace driftwood::compat {

inline constexpr std::size_t kMemorySize = 8 * 65536;

inline Hash hash_of(std::string_view text) { return hash_bytes(std::as_bytes(std::span(text))); }

/// Chunks 0, 1 and 5 are not zero; of the child, chunk 1 is another and chunk 7 is not zero.
inline std::vector<std::byte> memory(bool child) {
  std::vector<std::byte> bytes(kMemorySize);
  const auto fill = [&](std::size_t offset, std::size_t size, unsigned seed) {
    for (std::size_t i = 0; i < size; ++i) bytes[offset + i] = static_cast<std::byte>((i / 16) * 7 + seed);
  };
  fill(1000, 100'000, 3);
  fill(5 * 65536, 10, 200);
  if (child) {
    fill(65536 + 4096, 4096, 77);
    fill(8 * 65536 - 1, 1, 1);
  }
  return bytes;
}

inline Manifest manifest(std::optional<Hash> parent) {
  Manifest manifest;
  manifest.program = {hash_of("program"), "chat.wasm"};
  manifest.abi_version = 1;
  manifest.actor = "compat";
  manifest.label = parent ? "child" : "parent";
  manifest.created_ns = 1'795'000'000'000'000'001;
  manifest.parent = parent;
  manifest.fork_index = 2;
  manifest.globals = {{.type = WasmType::i32, .bits = {1, 2, 3, 4}},
                      {.type = WasmType::i64, .bits = {1, 2, 3, 4, 5, 6, 7, 255}},
                      {.type = WasmType::f32, .bits = {0, 0, 192, 127}},
                      {.type = WasmType::f64, .bits = {0, 0, 0, 0, 0, 0, 248, 255}},
                      {.type = WasmType::v128, .bits = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}}};
  manifest.models = {{1, "chat", hash_of("model")}};
  manifest.wasi = {{"chat", "--flag=\"x\"", "\xC3\xA9"}, {{"HOME", "/"}, {"A", "b=c"}}, {{"/srv", "/data", true}}};
  manifest.numerics = {"cpu", "x86_64", "ggml 0.26", {"avx2", "fma"}, 4};
  manifest.limits = {std::uint64_t{4} << 30, 60'000, 1u << 20};
  if (parent) manifest.determinism = Manifest::Determinism{UINT64_MAX, 17, -5};
  return manifest;
}

}  // namespace driftwood::compat
