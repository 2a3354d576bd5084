#include "device/choice.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <string>

#include "core/bytes.hpp"
#include "core/log.hpp"
#include "device/worker/worker_device.hpp"

namespace driftwood {
namespace {

using Kinds = std::span<const DeviceDriver>;

/// "vulkan:1" is the kind "vulkan" and the number 1.
struct DeviceName {
  const DeviceDriver* driver;
  std::uint32_t number;
};

std::unexpected<Error> unknown_name(Kinds kinds, std::string_view name) {
  std::vector<std::string> known{"auto"};
  for (const DeviceDriver& driver : kinds)
    known.push_back(fmt::format("{}{}", driver.name, driver.numbered ? "[:N]" : ""));
  return fail(ErrorCode::not_found,
              fmt::format("There is no device '{}'; a device is one of {}.", name, fmt::join(known, ", ")));
}

Result<DeviceName> parse(Kinds kinds, std::string_view name) {
  const std::string_view kind = name.substr(0, name.find(':'));
  const auto found = std::ranges::find(kinds, kind, &DeviceDriver::name);
  if (found == kinds.end()) return unknown_name(kinds, name);
  if (kind.size() == name.size()) return DeviceName{&*found, 0};
  const std::string_view digits = name.substr(kind.size() + 1);
  std::uint32_t number = 0;
  const auto [end, status] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  if (!found->numbered || status != std::errc{} || end != digits.data() + digits.size())
    return unknown_name(kinds, name);
  return DeviceName{&*found, number};
}

/// Why the weights do not fit a device that holds a copy of them; empty: they may.
std::string shortage(const DeviceInfo& info, const DeviceOptions& options) {
  const bool holds_copy = info.capabilities.weights_sharing == Sharing::copied;
  if (!holds_copy || info.memory_total == 0 || options.weights_bytes <= info.memory_total) return {};
  return fmt::format("Its memory ({}) is less than the weights take ({}).", format_bytes(info.memory_total),
                     format_bytes(options.weights_bytes));
}

Error in_kind(Error error, std::string_view kind) {
  return std::move(error).with_context(fmt::format("while looking for the device {}", kind));
}

bool in_worker(const DeviceDriver& driver, WorkerUse use) {
  if (use != WorkerUse::automatic) return use == WorkerUse::on;
  if (!driver.own_process) return false;
  const auto can = worker::check_worker_program();
  if (!can)
    log(LogLevel::info, fmt::format("{} devices compute in this process. {}", driver.name, can.error().message));
  return can.has_value();
}

Result<std::unique_ptr<Device>> open_here_or_in_worker(const DeviceDriver& driver, std::uint32_t number,
                                                       const std::string& name, const DeviceOptions& options) {
  DW_TRY_ASSIGN(auto device,
                in_worker(driver, options.worker)
                    ? worker::open_worker_device(name, {.time_limit = options.worker_time_limit, .device = options})
                    : driver.open(number, options));
  DW_TRY(device->check_room(options.weights_bytes));
  return device;
}

Result<std::unique_ptr<Device>> open_named(Kinds kinds, std::string_view name, const DeviceOptions& options) {
  DW_TRY_ASSIGN(const DeviceName wanted, parse(kinds, name));
  const DeviceDriver& driver = *wanted.driver;
  auto devices = driver.list();
  if (!devices) return std::unexpected(in_kind(std::move(devices).error(), driver.name));
  if (wanted.number >= devices->size()) {
    return fail(ErrorCode::not_found,
                fmt::format("There is no device '{}': this machine has {} of the kind, {}:0{}.", name, devices->size(),
                            driver.name,
                            devices->size() == 1 ? "" : fmt::format(" to {}:{}", driver.name, devices->size() - 1)));
  }
  const DeviceListing& device = (*devices)[wanted.number];
  if (!device.obstacle.empty()) {
    return fail(ErrorCode::unsupported, fmt::format("The device {} ({}) cannot be used. {}", device.info.name,
                                                    device.info.description, device.obstacle));
  }
  if (const std::string small = shortage(device.info, options); !small.empty()) {
    return fail(ErrorCode::out_of_memory,
                fmt::format("The device {} ({}) is too small. {}", device.info.name, device.info.description, small));
  }
  return open_here_or_in_worker(driver, wanted.number, device.info.name, options);
}

/// The first device with hardware of its own that opens, or none. What is passed over is logged, and so is the end of
/// the search: as a warning where the machine shows that there is hardware.
std::unique_ptr<Device> open_hardware(Kinds kinds, const DeviceOptions& options) {
  LogLevel end = LogLevel::info;
  for (const DeviceDriver& driver : kinds) {
    if (!driver.likely()) continue;
    end = LogLevel::warning;
    const auto devices = driver.list();
    if (!devices) {
      log(LogLevel::warning, fmt::format("No {} device is used. {}", driver.name, devices.error().message));
      continue;
    }
    for (std::uint32_t number = 0; number < devices->size(); ++number) {
      const DeviceListing& device = (*devices)[number];
      if (!device.hardware) continue;
      std::string obstacle = device.obstacle.empty() ? shortage(device.info, options) : device.obstacle;
      if (obstacle.empty()) {
        auto opened = open_here_or_in_worker(driver, number, device.info.name, options);
        if (opened) return *std::move(opened);
        obstacle = opened.error().to_string();
      }
      log(LogLevel::warning,
          fmt::format("The device {} ({}) is not used. {}", device.info.name, device.info.description, obstacle));
    }
  }
  log(end, "No device with hardware of its own can be used: the CPU computes.");
  return nullptr;
}

/// Hardware, then the CPU, then what only pretends to be hardware, then what does not compute for real.
int rank(const DeviceListing& device) {
  if (!device.obstacle.empty()) return 4;
  if (device.hardware) return 0;
  if (device.info.name == "cpu") return 1;
  return device.info.name == "null" ? 3 : 2;
}

}  // namespace

Result<std::unique_ptr<Device>> choose_device(Kinds kinds, std::string_view name, const DeviceOptions& options) {
  if (name != "auto") return open_named(kinds, name, options);
  if (auto device = open_hardware(kinds, options)) return device;
  return open_named(kinds, "cpu", options);
}

std::vector<DeviceListing> list_devices_of(Kinds kinds) {
  std::vector<DeviceListing> all;
  for (const DeviceDriver& driver : kinds) {
    auto devices = driver.list();
    if (devices) {
      for (DeviceListing& device : *devices) {
        device.info.in_worker = in_worker(driver, WorkerUse::automatic);
        if (device.note.empty()) device.note = driver.note;
      }
      std::ranges::move(*devices, std::back_inserter(all));
    } else {
      DeviceListing absent;
      absent.info.name = driver.name;
      absent.obstacle = devices.error().to_string();
      absent.note = driver.note;
      all.push_back(std::move(absent));
    }
  }
  std::ranges::stable_sort(all, {}, rank);
  return all;
}

}  // namespace driftwood
