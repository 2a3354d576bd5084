#include "device/cuda/driver.hpp"

namespace driftwood {

DeviceDriver cuda_driver() { return absent_driver("cuda", true); }

}  // namespace driftwood
