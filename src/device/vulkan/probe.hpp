// What Vulkan finds on this machine, asked of the system's loader without ggml.
//
// The loader (libvulkan.so.1) is opened when it is first asked for: a machine without it runs the same program.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "core/error.hpp"

namespace driftwood::vulkan {

struct PhysicalDevice {
  std::uint32_t number = 0;  ///< among those that Vulkan lists
  std::string name;          ///< the driver's own: "llvmpipe (LLVM 15.0.6, 256 bits)"
  std::string driver;        ///< with its version: "llvmpipe Mesa 22.3.6 (LLVM 15.0.6)"
  bool hardware = false;     ///< not a program that only pretends to be a GPU
  bool own_memory = false;   ///< a card: what it reads of the host's memory crosses a bus
  /// Its driver also touches what a descriptor set shows where no kernel looks: buffers that are gone, where the set
  /// was used before (Mesa's llvmpipe).
  bool touches_unused_bindings = false;
  std::uint64_t memory_total = 0;       ///< bytes of the largest heap that it computes in
  std::vector<std::string> extensions;  ///< those of interest, sorted
  std::size_t import_alignment = 0;     ///< bytes
  std::size_t tensor_alignment = 0;     ///< bytes
  std::uint64_t max_operand = 0;        ///< bytes of one tensor that a kernel reads or writes
  std::uint64_t max_buffer = 0;         ///< bytes
  std::string obstacle;                 ///< a sentence: why ggml or an import cannot use it; empty: they can
};

/// Whether the system shows a device file of a GPU; no driver is loaded to find out.
bool gpu_likely();

/// All devices, the best first; at least one. Asked once for a process; any thread.
/// unavailable: there is no loader, no driver, or no device.
const Result<std::vector<PhysicalDevice>>& physical_devices();

}  // namespace driftwood::vulkan
