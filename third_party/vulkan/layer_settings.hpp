// VK_EXT_layer_settings, for Vulkan headers older than 1.3.272 (Debian 12 has 1.3.239): the one thing that the pinned
// ggml-vulkan takes from newer ones without asking. Put before its sources with -include; the structs are those of the
// Vulkan specification, which a driver that does not know them passes over.
#pragma once

#ifdef __cplusplus
#include <vulkan/vulkan_core.h>

#ifndef VK_EXT_layer_settings
#include <vector>

namespace vk {

enum class LayerSettingTypeEXT { eBool32 = 0 };

struct LayerSettingEXT {
  const char* pLayerName;
  const char* pSettingName;
  LayerSettingTypeEXT type;
  uint32_t valueCount;
  const void* pValues;
};

struct LayerSettingsCreateInfoEXT {
  explicit LayerSettingsCreateInfoEXT(const std::vector<LayerSettingEXT>& settings)
      : settingCount(static_cast<uint32_t>(settings.size())), pSettings(settings.data()) {}

  VkStructureType sType = static_cast<VkStructureType>(1000496000);
  const void* pNext = nullptr;
  uint32_t settingCount;
  const LayerSettingEXT* pSettings;
};

}  // namespace vk
#endif
#endif
