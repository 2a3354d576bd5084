// A guest's clocks and random numbers as a part of its state, so that a run that was
// frozen and goes on elsewhere sees what it would have seen.
//
// With it, WASI's clocks do not follow the wall: each reading of one advances the
// virtual clock by kVirtualClockStep, and a sleep by as long as the guest asks,
// without waiting. Random numbers are those of a generator with a seed. What stays
// the world's: files and streams that are granted, and when a deadline ends a call.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace driftwood {

/// Nanoseconds by which each reading of a clock advances both.
inline constexpr std::uint64_t kVirtualClockStep = 1000;

struct Determinism {
  std::uint64_t seed = 0;
  /// Bytes of the seed's sequence that were given out.
  std::uint64_t random_position = 0;
  /// What the clocks show: nanoseconds since 1970 (realtime), and since some moment before the guest began (monotonic).
  std::uint64_t clock_ns = 0;

  friend bool operator==(const Determinism&, const Determinism&) = default;

  /// The next bytes of the sequence. Its block number i of 32 bytes is SHA-256("driftwood random", seed, i), both
  /// numbers as 8 bytes, little-endian.
  void fill_random(std::span<std::byte> out);
};

}  // namespace driftwood
