// What one core can do at most, out of its first-level cache; compiled for each vector unit. Any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace driftwood::bench {

/// Runs `rounds` rounds of independent fused multiply-adds in f32: the floating-point operations that were done.
/// `keep`: takes what comes out, so that none of it is left out.
double multiply_and_add(std::uint64_t rounds, float& keep);
/// Reads all of `bytes`, whose size is a multiple of 1,024: a number that depends on each.
std::uint64_t read_through(std::span<const std::byte> bytes);

}  // namespace driftwood::bench
