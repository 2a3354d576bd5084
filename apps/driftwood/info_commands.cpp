// driftwood devices, driftwood version.

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "command.hpp"
#include "console.hpp"
#include "core/bytes.hpp"
#include "device/device.hpp"
#include "machine.hpp"

namespace driftwood::cli {
namespace {

Json device_json(const DeviceInfo& info) {
  return {{"name", info.name},
          {"description", info.description},
          {"memory_bytes", info.memory_total},
          {"threads", info.threads},
          {"sharing", to_string(info.capabilities.import_sharing)},
          {"import_alignment", info.capabilities.import_alignment}};
}

Result<int> list_devices(const Common& common) {
  Json list = Json::array();
  std::vector<std::vector<std::string>> rows = {{"name", "sharing", "alignment", "threads", "memory", "description"}};
  for (const std::string& name : device_names()) {
    const auto device = open_device(name);
    if (!device) {
      list.push_back({{"name", name}, {"error", device.error().to_string()}});
      rows.push_back({name, "-", "-", "-", "-", printable(device.error().to_string())});
      continue;
    }
    const DeviceInfo& info = (*device)->info();
    list.push_back(device_json(info));
    rows.push_back({info.name, std::string(to_string(info.capabilities.import_sharing)),
                    fmt::format("{} B", info.capabilities.import_alignment),
                    info.threads == 0 ? "-" : std::to_string(info.threads),
                    info.memory_total == 0 ? "-" : format_bytes(info.memory_total), printable(info.description)});
  }
  if (common.json) {
    print_json({{"devices", std::move(list)}});
  } else {
    print_table(rows);
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
  add_report(commands, "devices", "List what can compute here",
             "  driftwood devices\n"
             "  driftwood devices --json\n"
             "Sharing says how a device sees a guest's memory: same_memory, mapped_over_bus or copied.",
             list_devices);
}

void add_version(const Commands& commands) {
  add_report(commands, "version", "Print the versions of this build",
             "  driftwood version\n"
             "  driftwood version --json",
             print_version);
}

}  // namespace driftwood::cli
