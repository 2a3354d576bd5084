// What the numbers of a forward pass depend on besides the model and the input.
//
// Two nodes with equal fingerprints give the same bits for the same actor; where they differ, a thaw says so in words
// and never pretends. Values; any thread.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace driftwood {

struct NumericsFingerprint {
  std::string device;                 ///< "cpu", "cuda: NVIDIA H200"; empty: the actor never computed
  std::string architecture;           ///< instruction set that the kernels were built for, "x86_64"
  std::string kernels;                ///< version of the kernels, "ggml 0.26"
  std::vector<std::string> features;  ///< processor features that change results, sorted
  std::uint32_t threads = 0;          ///< of a pass; 0 where their number changes no result

  friend bool operator==(const NumericsFingerprint&, const NumericsFingerprint&) = default;
};

/// What differs, as a sentence ("It ran on the device cpu, and this one is vulkan; ..."); empty when nothing does.
std::string difference_in_words(const NumericsFingerprint& then, const NumericsFingerprint& now);

}  // namespace driftwood
