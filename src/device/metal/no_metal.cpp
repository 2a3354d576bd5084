#include "device/metal/driver.hpp"

namespace driftwood {

DeviceDriver metal_driver() {
  DeviceDriver driver = absent_driver("metal", false);
  driver.note = kMetalUntried;
  return driver;
}

}  // namespace driftwood
