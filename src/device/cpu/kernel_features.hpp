// Which of its kernels the CPU device runs on this machine.
#pragma once

#include <string>
#include <vector>

namespace driftwood::cpu {

/// The instruction set that our kernels were picked for and those that ggml's were built for, sorted: what results may
/// depend on.
std::vector<std::string> kernel_features();

}  // namespace driftwood::cpu
