#include "wasm/determinism.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <string_view>

#include "core/hash.hpp"

namespace driftwood {

namespace {

constexpr std::string_view kDomain = "driftwood random";

void append_number(std::byte* at, std::uint64_t value) {
  for (int i = 0; i < 8; ++i) at[i] = static_cast<std::byte>(value >> (8 * i));
}

Hash random_block(std::uint64_t seed, std::uint64_t number) {
  std::array<std::byte, kDomain.size() + 16> input;
  std::memcpy(input.data(), kDomain.data(), kDomain.size());
  append_number(input.data() + kDomain.size(), seed);
  append_number(input.data() + kDomain.size() + 8, number);
  return hash_bytes(input);
}

}  // namespace

void Determinism::fill_random(std::span<std::byte> out) {
  while (!out.empty()) {
    const Hash block = random_block(seed, random_position / sizeof block.bytes);
    const std::size_t from = random_position % sizeof block.bytes;
    const std::size_t count = std::min(out.size(), sizeof block.bytes - from);
    std::memcpy(out.data(), block.bytes.data() + from, count);
    out = out.subspan(count);
    random_position += count;
  }
}

}  // namespace driftwood
