// A Vulkan driver that refuses to import the host's memory when a test says so: what ggml's module asks of the loader
// goes through here. The test's program has to export vkGetInstanceProcAddr.
#pragma once

#define VK_NO_PROTOTYPES
#include <vulkan/vulkan_core.h>

namespace driftwood::testing {

/// Where an import fails.
enum class ImportStep { asking_how, importing };

/// While it lives, every import of host memory ends at `step` with `result`. One at a time.
class RefusedImports {
 public:
  RefusedImports(ImportStep step, VkResult result);
  ~RefusedImports();
  RefusedImports(const RefusedImports&) = delete;
  RefusedImports& operator=(const RefusedImports&) = delete;
};

}  // namespace driftwood::testing
