// A sum that finds damage in files of our own, at the memory's speed; no defence against an attacker.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

namespace driftwood {

/// Independent lanes keep the multiplier busy: 4, or 8 to keep up with the memory. Their number changes the sum.
template <std::size_t Lanes>
std::uint64_t checksum(std::span<const std::byte> bytes) noexcept {
  constexpr std::uint64_t kOdd = 0x9E3779B97F4A7C15U;
  std::array<std::uint64_t, Lanes> lanes;
  for (std::size_t i = 0; i < Lanes; ++i) lanes[i] = i + 1;
  const auto mix = [](std::uint64_t lane, std::uint64_t word) { return std::rotl((lane ^ word) * kOdd, 29); };
  for (; bytes.size() >= sizeof lanes; bytes = bytes.subspan(sizeof lanes)) {
    std::array<std::uint64_t, Lanes> words;
    std::memcpy(words.data(), bytes.data(), sizeof words);
    for (std::size_t i = 0; i < Lanes; ++i) lanes[i] = mix(lanes[i], words[i]);
  }
  for (const std::byte rest : bytes) lanes[0] = mix(lanes[0], static_cast<std::uint64_t>(rest));
  std::uint64_t sum = 0;
  for (const std::uint64_t lane : lanes) sum = mix(sum, lane);
  return sum;
}

}  // namespace driftwood
