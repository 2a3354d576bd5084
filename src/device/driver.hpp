// A kind of device: how its devices are found and opened. open.cpp has the table of them.
//
// A new kind is a folder with a function that returns one of these, an entry in that table,
// and a second source with the same function for builds without it (see absent_driver).
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "device/device.hpp"

namespace driftwood {

struct DeviceDriver {
  std::string_view name;     ///< "vulkan"
  bool own_process = false;  ///< its devices compute in a worker unless told otherwise
  bool numbered = false;     ///< its devices are called vulkan:0, vulkan:1; else there is one, called as the kind
  /// Whether hardware of this kind may be there, without loading a driver: what "auto" asks before it looks closer.
  bool (*likely)();
  /// The devices in the order of their numbers, at least one; an error says why there is none. Any thread.
  Result<std::vector<DeviceListing>> (*list)();
  /// Opens one that list() gave without an obstacle.
  Result<std::unique_ptr<Device>> (*open)(std::uint32_t number, const DeviceOptions& options);
  std::string_view note = {};  ///< what the user of any of them should know; empty: nothing
};

/// A kind that this build was made without; its devices would be `numbered`.
DeviceDriver absent_driver(std::string_view name, bool numbered);

}  // namespace driftwood
