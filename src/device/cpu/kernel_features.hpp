// What numbers of the CPU device depend on: its kernels' version, and which of them run on this machine.
#pragma once

#include <string>
#include <vector>

namespace driftwood::cpu {

/// Counted up with every change of a kernel that changes bits of its results.
inline constexpr int kKernelsVersion = 4;

/// The instruction set that our kernels were picked for and those that ggml's were built for, sorted: what results may
/// depend on.
std::vector<std::string> kernel_features();

}  // namespace driftwood::cpu
