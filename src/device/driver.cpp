#include "device/driver.hpp"

namespace driftwood {

DeviceDriver absent_driver(std::string_view name, bool numbered) {
  return {.name = name,
          .numbered = numbered,
          .likely = [] { return false; },
          .list = []() -> Result<std::vector<DeviceListing>> {
            return fail(ErrorCode::unavailable, "This build was made without it (the CMake option DRIFTWOOD_DEVICES).");
          },
          .open = [](std::uint32_t, const DeviceOptions&) -> Result<std::unique_ptr<Device>> {
            return fail(ErrorCode::unavailable, "This build was made without it (the CMake option DRIFTWOOD_DEVICES).");
          }};
}

}  // namespace driftwood
