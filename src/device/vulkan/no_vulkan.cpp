#include "device/vulkan/driver.hpp"

namespace driftwood {

DeviceDriver vulkan_driver() { return absent_driver("vulkan", true); }

}  // namespace driftwood
