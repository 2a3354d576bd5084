// The random numbers of sampling: xoshiro256**, seeded by splitmix64.
//
// Written out here, since the distributions of the standard library differ from one library to the next. The state is
// plain data in the guest's memory, so that a copy of the actor draws the same numbers from there on.
// Sources: D. Blackman, S. Vigna, "Scrambled linear pseudorandom number generators" (2018), prng.di.unimi.it;
// G. Steele, D. Lea, C. Flood, "Fast splittable pseudorandom number generators" (2014).
#pragma once

#include <bit>
#include <cstdint>

namespace driftwood::guest {

struct Generator {
  std::uint64_t state[4];

  /// Every seed, 0 included, gives a sound state.
  static constexpr Generator seeded(std::uint64_t seed) noexcept {
    Generator generator{};
    for (std::uint64_t& word : generator.state) {
      seed += 0x9e3779b97f4a7c15u;
      std::uint64_t mixed = seed;
      mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9u;
      mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111ebu;
      word = mixed ^ (mixed >> 31);
    }
    return generator;
  }

  /// 64 random bits.
  constexpr std::uint64_t next() noexcept {
    const std::uint64_t result = std::rotl(state[1] * 5, 7) * 9;
    const std::uint64_t shifted = state[1] << 17;
    state[2] ^= state[0];
    state[3] ^= state[1];
    state[1] ^= state[2];
    state[0] ^= state[3];
    state[2] ^= shifted;
    state[3] = std::rotl(state[3], 45);
    return result;
  }

  /// A number in 0 .. bound - 1: the high word of next() * bound, so that the probability of any range of them is
  /// right to within 2^-63. 0 for a bound of 0. Takes one number from the stream.
  constexpr std::uint64_t below(std::uint64_t bound) noexcept {
    const std::uint64_t bits = next();
    const std::uint64_t low = (bits & 0xffffffffu) * (bound & 0xffffffffu);
    const std::uint64_t cross = (bits >> 32) * (bound & 0xffffffffu) + (low >> 32);
    const std::uint64_t other = (bits & 0xffffffffu) * (bound >> 32) + (cross & 0xffffffffu);
    return (bits >> 32) * (bound >> 32) + (cross >> 32) + (other >> 32);
  }
};

}  // namespace driftwood::guest
