// What one core can do at most, out of its first-level cache; compiled for each vector unit. Any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace driftwood::bench {

/// Runs `rounds` rounds of independent fused multiply-adds in f32: the floating-point operations that were done.
/// `keep`: takes what comes out, so that none of it is left out.
double multiply_and_add(std::uint64_t rounds, float& keep);
/// Runs `rounds` rounds of independent sums of products of bytes, by the instructions that the products with packed
/// weights use (device/cpu/matmul_kernels.cpp): the multiplications and additions that were done.
/// `sum`: grows by all products, each of which is 1.
double multiply_bytes(std::uint64_t rounds, std::int64_t& sum);
/// Reads all of `bytes`, whose size is a multiple of 1,024: a number that depends on each.
std::uint64_t read_through(std::span<const std::byte> bytes);

}  // namespace driftwood::bench
