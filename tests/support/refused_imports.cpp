#include "support/refused_imports.hpp"

#include <dlfcn.h>

#include <atomic>
#include <string_view>

namespace driftwood::testing {
namespace {

std::atomic<VkResult> asking_how{VK_SUCCESS};
std::atomic<VkResult> importing{VK_SUCCESS};
PFN_vkGetMemoryHostPointerPropertiesEXT drivers_properties = nullptr;
PFN_vkAllocateMemory drivers_allocate = nullptr;

bool is_import(const VkMemoryAllocateInfo& info) {
  for (auto* next = static_cast<const VkBaseInStructure*>(info.pNext); next != nullptr; next = next->pNext) {
    if (next->sType == VK_STRUCTURE_TYPE_IMPORT_MEMORY_HOST_POINTER_INFO_EXT) return true;
  }
  return false;
}

VKAPI_ATTR VkResult VKAPI_CALL properties(VkDevice device, VkExternalMemoryHandleTypeFlagBits type, const void* data,
                                          VkMemoryHostPointerPropertiesEXT* answer) {
  if (const VkResult result = asking_how; result != VK_SUCCESS) return result;
  return drivers_properties(device, type, data, answer);
}

VKAPI_ATTR VkResult VKAPI_CALL allocate(VkDevice device, const VkMemoryAllocateInfo* info,
                                        const VkAllocationCallbacks* callbacks, VkDeviceMemory* memory) {
  if (const VkResult result = importing; result != VK_SUCCESS && is_import(*info)) return result;
  return drivers_allocate(device, info, callbacks, memory);
}

}  // namespace

RefusedImports::RefusedImports(ImportStep step, VkResult result) {
  (step == ImportStep::asking_how ? asking_how : importing) = result;
}
RefusedImports::~RefusedImports() { asking_how = importing = VK_SUCCESS; }

}  // namespace driftwood::testing

/// Found before the loader's, since it is the program's.
extern "C" __attribute__((visibility("default"))) PFN_vkVoidFunction vkGetInstanceProcAddr(VkInstance instance,
                                                                                           const char* name) {
  using namespace driftwood::testing;
  static const auto loaders =
      reinterpret_cast<PFN_vkGetInstanceProcAddr>(dlsym(dlopen("libvulkan.so.1", RTLD_NOW), "vkGetInstanceProcAddr"));
  const PFN_vkVoidFunction found = loaders(instance, name);
  if (found == nullptr) return nullptr;
  if (name == std::string_view("vkGetMemoryHostPointerPropertiesEXT")) {
    drivers_properties = reinterpret_cast<PFN_vkGetMemoryHostPointerPropertiesEXT>(found);
    return reinterpret_cast<PFN_vkVoidFunction>(properties);
  }
  if (name == std::string_view("vkAllocateMemory")) {
    drivers_allocate = reinterpret_cast<PFN_vkAllocateMemory>(found);
    return reinterpret_cast<PFN_vkVoidFunction>(allocate);
  }
  return found;
}
