// driftwood devices, driftwood version.

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <nlohmann/json.hpp>

#include "command.hpp"
#include "console.hpp"
#include "core/bytes.hpp"
#include "device/device.hpp"
#include "machine.hpp"

namespace driftwood::cli {
namespace {

Json device_json(const DeviceListing& device) {
  const DeviceInfo& info = device.info;
  Json json{{"name", info.name}, {"usable", device.obstacle.empty()}};
  if (!device.obstacle.empty()) json["problem"] = device.obstacle;
  if (!device.note.empty()) json["note"] = device.note;
  if (info.description.empty()) return json;  // a kind that this machine has none of
  json.update({{"description", info.description},
               {"hardware", device.hardware},
               {"memory_bytes", info.memory_total},
               {"threads", info.threads},
               {"worker", info.in_worker},
               {"sharing", to_string(info.capabilities.import_sharing)},
               {"weights_sharing", to_string(info.capabilities.weights_sharing)},
               {"import_alignment", info.capabilities.import_alignment},
               {"tensor_alignment", info.capabilities.tensor_alignment},
               {"extensions", device.extensions}});
  if (info.capabilities.max_import != SIZE_MAX) json["max_import_bytes"] = info.capabilities.max_import;
  return json;
}

std::vector<std::string> device_row(const DeviceListing& device) {
  const DeviceInfo& info = device.info;
  if (!device.obstacle.empty()) return {info.name, "-", "-", "-", "-", "-", "-", "-", printable(device.obstacle)};
  return {info.name,
          std::string(to_string(info.capabilities.import_sharing)),
          std::string(to_string(info.capabilities.weights_sharing)),
          fmt::format("{} B", info.capabilities.import_alignment),
          fmt::format("{} B", info.capabilities.tensor_alignment),
          info.threads == 0 ? "-" : std::to_string(info.threads),
          info.memory_total == 0 ? "-" : format_bytes(info.memory_total),
          info.in_worker ? "yes" : "no",
          printable(info.description)};
}

Result<int> print_devices(const Common& common) {
  Json list = Json::array();
  std::vector<std::vector<std::string>> rows = {
      {"name", "sharing", "weights", "imports at", "tensors at", "threads", "memory", "worker", "description"}};
  const std::vector<DeviceListing> devices = list_devices();
  for (const DeviceListing& device : devices) {
    list.push_back(device_json(device));
    rows.push_back(device_row(device));
  }
  if (common.json) {
    print_json({{"devices", std::move(list)}});
    return 0;
  }
  print_table(rows);
  for (const DeviceListing& device : devices) {
    if (!device.extensions.empty()) fmt::print("{}: {}\n", device.info.name, fmt::join(device.extensions, " "));
    if (!device.note.empty()) fmt::print("{}: {}\n", device.info.name, device.note);
  }
  return 0;
}

Result<int> print_version(const Common& common) {
  const Versions built = versions();
  if (common.json) {
    print_json(to_json(built));
  } else {
    fmt::print("driftwood {} (wasmtime {}, ggml {}, guest ABI {})\n", built.driftwood, built.wasmtime, built.ggml,
               built.abi);
  }
  return 0;
}

void add_report(const Commands& commands, const char* name, const char* description, const char* examples,
                Result<int> (*work)(const Common&)) {
  CLI::App* command = add_command(commands, commands.app, name, description, examples);
  add_json_option(command, commands.common);
  command->callback([work, &common = commands.common, &action = commands.action] {
    action = [work, &common] { return work(common); };
  });
}

}  // namespace

void add_devices(const Commands& commands) {
  add_report(
      commands, "devices", "List what can compute here",
      "  driftwood devices\n"
      "  driftwood devices --json\n"
      "Sharing says how a device sees a guest's memory: same_memory, mapped_over_bus or copied; weights, how it has a\n"
      "model's. Imports and tensors lie at multiples of the bytes said. Worker: whether a process of its own computes,\n"
      "where --device-worker does not say otherwise.",
      print_devices);
}

void add_version(const Commands& commands) {
  add_report(commands, "version", "Print the versions of this build",
             "  driftwood version\n"
             "  driftwood version --json",
             print_version);
}

}  // namespace driftwood::cli
