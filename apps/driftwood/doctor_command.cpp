// driftwood doctor: each link of the chain alone, then all of them together.

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "actor/open_files.hpp"
#include "command.hpp"
#include "console.hpp"
#include "core/bytes.hpp"
#include "doctor_chain.hpp"
#include "doctor_links.hpp"
#include "machine.hpp"
#include "mappings.hpp"
#include "memory/region.hpp"
#include "model_store.hpp"
#include "paths.hpp"
#include "runtime.hpp"

namespace driftwood::cli {
namespace {

constexpr const char* kExamples =
    "  driftwood doctor\n"
    "  driftwood doctor --json | python3 -m json.tool\n"
    "The exit status is 0 when every check passed, else 1.";

struct StoreState {
  std::string folder;
  std::size_t models = 0;
  bool default_model = false;
  std::string problem;
};

StoreState examine_store() {
  StoreState state;
  const auto folder = model_store_path();
  if (!folder) {
    state.problem = folder.error().to_string();
    return state;
  }
  state.folder = folder->string();
  const auto models = ModelStore(*folder).list();
  if (!models) {
    state.problem = models.error().to_string();
    return state;
  }
  state.models = models->size();
  for (const StoredModel& model : *models) state.default_model |= model.name == default_model().name;
  return state;
}

std::optional<MappingLimit> examine_mappings() {
  const auto most = most_mappings();
  return most ? std::optional(mapping_limit(*most)) : std::nullopt;
}

Json link_json(const LinkReport& link) {
  Json json{{"ok", link.ok}};
  if (!link.ok) json["problem"] = link.problem;
  return json;
}

Json report_json(const DoctorReport& report, const StoreState& store) {
  Json devices = Json::array();
  for (const DeviceReport& device : report.devices) {
    Json json{{"name", device.name},
              {"sharing", device.sharing},
              {"same_pointer", device.same_pointer},
              {"worker", device.in_worker},
              {"gemm_errors", device.chain.errors},
              {"bytes_copied", device.chain.bytes_copied},
              {"gemm_guest_us", device.chain.gemm_guest_us},
              {"gemm_native_us", device.chain.gemm_native_us}};
    if (!device.note.empty()) json["note"] = device.note;
    json.update(link_json(device));
    devices.push_back(std::move(json));
  }
  Json unusable = Json::array();
  for (const UnusableDevice& device : report.unusable) {
    unusable.push_back({{"name", device.name}, {"problem", device.why}});
    if (!device.note.empty()) unusable.back()["note"] = device.note;
  }
  Json wasm = link_json(report.wasm);
  wasm["same_pointer"] = report.wasm.same_pointer;
  Json chain = link_json(report.chain);
  chain.update({{"same_pointer", report.chain.same_pointer},
                {"sharing", report.chain.sharing},
                {"bytes_copied", report.chain.bytes_copied}});
  return {
      {"page_size", page_size()},
      {"links", {{"memory", link_json(report.memory)}, {"device", devices}, {"wasm", wasm}}},
      {"gemm",
       {{"n", ChainReport::kN}, {"errors", report.chain.errors}, {"elements", ChainReport::kN * ChainReport::kN}}},
      {"rss_delta_mb", {{"import", report.rss.import_mb}, {"copy", report.rss.copy_mb}}},
      {"latency_us",
       {{"host_call", report.chain.host_call_us},
        {"gemm_guest", report.chain.gemm_guest_us},
        {"gemm_native", report.chain.gemm_native_us}}},
      {"ok", report.ok()},
      {"chain", chain},
      {"unusable_devices", unusable},
      {"versions", to_json(versions())},
      {"machine", to_json(examine_machine())},
      {"mappings", to_json(examine_mappings())},
      {"model_store", {{"folder", store.folder}, {"models", store.models}, {"default_model", store.default_model}}}};
}

std::string verdict(const LinkReport& link) { return link.ok ? "ok" : "FAILED: " + link.problem; }

void print_report(const DoctorReport& report, const StoreState& store) {
  const ChainReport& chain = report.chain;
  std::vector<std::vector<std::string>> rows = {{"link", "what", "result"}};
  rows.push_back({"memory", fmt::format("Region, pages of {} bytes", page_size()), verdict(report.memory)});
  for (const DeviceReport& device : report.devices) {
    rows.push_back({"device",
                    fmt::format("{}: {}, {}{}", device.name, device.sharing,
                                device.same_pointer ? "the same pointer" : "another pointer",
                                device.in_worker ? ", in a worker" : ""),
                    verdict(device)});
  }
  for (const UnusableDevice& device : report.unusable) {
    rows.push_back({"device", device.name, "not here: " + printable(device.why)});
  }
  rows.push_back({"wasm", fmt::format("linear memory is {} Region", report.wasm.same_pointer ? "the" : "not the"),
                  verdict(report.wasm)});
  rows.push_back({"chain",
                  fmt::format("guest, device and host: {}, {} bytes copied",
                              chain.same_pointer ? "one pointer" : "different pointers", chain.bytes_copied),
                  verdict(chain)});
  rows.push_back({"gemm", fmt::format("{0} x {0}, checked by the guest", ChainReport::kN),
                  fmt::format("{} of {} elements wrong", chain.errors, ChainReport::kN * ChainReport::kN)});
  rows.push_back({"rss", "16 MiB imported / copied",
                  report.rss.ok ? fmt::format("{:.2f} MB / {:.2f} MB", report.rss.import_mb, report.rss.copy_mb)
                                : verdict(report.rss)});
  rows.push_back({"latency", "host call by the guest", fmt::format("{:.1f} ns", 1e3 * chain.host_call_us)});
  rows.push_back({"latency", "GEMM by the guest / by the host",
                  fmt::format("{:.1f} us / {:.1f} us", chain.gemm_guest_us, chain.gemm_native_us)});
  print_table(rows);
  for (const DeviceReport& device : report.devices) {
    if (!device.note.empty()) fmt::print("{}: {}\n", device.name, device.note);
  }
  for (const UnusableDevice& device : report.unusable) {
    if (!device.note.empty()) fmt::print("{}: {}\n", device.name, device.note);
  }

  const Machine machine = examine_machine();
  const Versions built = versions();
  fmt::print("\ndriftwood {}, wasmtime {}, ggml {}, guest ABI {}\n", built.driftwood, built.wasmtime, built.ggml,
             built.abi);
  fmt::print("{}{}{}, {} cores, kernels for {}\n", machine.system, machine.processor.empty() ? "" : ", ",
             machine.processor, machine.cores, fmt::join(machine.cpu_features, " "));
  fmt::print("huge pages for memory files: {}\n", machine.huge_pages.empty() ? "not told" : machine.huge_pages);
  if (const auto limit = examine_mappings()) fmt::print("{}\n", to_text(*limit));
  if (!store.problem.empty()) {
    fmt::print("models: {}\n", printable(store.problem));
  } else {
    fmt::print("models: {} in {}; {} is {}\n", store.models, store.folder, default_model().name,
               store.default_model ? "there" : "not fetched yet (driftwood models fetch)");
  }
  fmt::print("{}\n", bold(1, report.ok() ? "All is well." : "Something is wrong; see above."));
}

Result<int> examine(const RuntimeOptions& options, const Common& common) {
  DW_TRY_ASSIGN(const Runtime runtime, Runtime::open(options, {}));
  DW_TRY_ASSIGN(const DeviceOptions device_options, options.device_options());
  DoctorReport report;
  report.memory = examine_memory();
  for (const DeviceListing& device : list_devices()) {
    if (device.obstacle.empty()) {
      report.devices.push_back(examine_device(*runtime.engine, device.info.name, device_options));
      report.devices.back().note = device.note;
    } else {
      report.unusable.push_back({device.info.name, device.obstacle, device.note});
    }
  }
  report.wasm = examine_wasm(*runtime.engine);
  report.chain = examine_chain(*runtime.engine, *runtime.device);
  report.rss = examine_rss(*runtime.device);
  const StoreState store = examine_store();
  if (common.json) {
    print_json(report_json(report, store));
  } else {
    print_report(report, store);
  }
  return report.ok() ? 0 : 1;
}

}  // namespace

void add_doctor(const Commands& commands) {
  auto options = std::make_shared<RuntimeOptions>();
  CLI::App* command =
      add_command(commands, commands.app, "doctor", "Check the chain of memory, device and Wasm", kExamples);
  options->add_to(command);
  add_json_option(command, commands.common);
  command->callback([options, &common = commands.common, &action = commands.action] {
    action = [options, &common] { return examine(*options, common); };
  });
}

}  // namespace driftwood::cli
