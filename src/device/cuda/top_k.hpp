// The largest logits of rows, found on the device: what its kernels (top_k.cuh) and their callers share.
#pragma once

#include <cstdint>

namespace driftwood::cuda {

inline constexpr int kTopKSlice = 1024;  ///< logits of a block; the most that can be asked for

/// A logit and its token as one number that sorts as they do.
using TopKKey = std::uint64_t;

struct TopKEntry {
  std::int32_t token;
  float logit;
};

}  // namespace driftwood::cuda
