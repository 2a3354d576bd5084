#include "device/metal/driver.hpp"

namespace driftwood {

DeviceDriver metal_driver() { return absent_driver("metal", false); }

}  // namespace driftwood
