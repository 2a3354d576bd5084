// driftwood doctor, devices, version, bench, and the command line as such.
#include <unistd.h>

#include <algorithm>
#include <set>

#include "e2e/cli.hpp"

namespace driftwood::testing {
namespace {

using nlohmann::json;
using Doctor = CliTest;

std::set<std::string> keys(const json& object) {
  std::set<std::string> names;
  for (const auto& [name, value] : object.items()) names.insert(name);
  return names;
}

void expect_keys(const json& object, const std::vector<std::string>& names) {
  const std::set<std::string> present = keys(object);
  for (const std::string& name : names) EXPECT_TRUE(present.contains(name)) << name << " in " << object.dump();
}

TEST_F(Doctor, JsonHasExactlyThePromisedFieldsAndAllIsWell) {
  const Outcome outcome = cli({"doctor", "--json"});
  EXPECT_EQ(outcome.status, 0) << outcome.out << outcome.err;
  const json report = json::parse(outcome.out);
  expect_keys(report, {"page_size", "links", "gemm", "rss_delta_mb", "latency_us", "ok"});
  EXPECT_EQ(report["page_size"], sysconf(_SC_PAGESIZE));
  EXPECT_EQ(report["ok"], true);

  const json& links = report["links"];
  EXPECT_EQ(keys(links), (std::set<std::string>{"memory", "device", "wasm"}));
  EXPECT_EQ(links["memory"]["ok"], true);
  EXPECT_EQ(links["wasm"]["ok"], true);
  EXPECT_EQ(links["wasm"]["same_pointer"], true);
  ASSERT_FALSE(links["device"].empty());
  for (const json& device : links["device"]) {
    expect_keys(device, {"name", "sharing", "same_pointer", "ok"});
    EXPECT_EQ(device["ok"], true) << device;
    EXPECT_EQ(device["gemm_errors"], 0) << device;
    EXPECT_EQ(device["bytes_copied"], 0) << device;
  }
  EXPECT_EQ(links["device"][0]["name"], "cpu");
  EXPECT_EQ(links["device"][0]["sharing"], "same_memory");
  EXPECT_EQ(links["device"][0]["same_pointer"], true);

  EXPECT_EQ(report["gemm"], (json{{"n", 128}, {"errors", 0}, {"elements", 16384}}));
  EXPECT_EQ(keys(report["rss_delta_mb"]), (std::set<std::string>{"import", "copy"}));
  EXPECT_LT(report["rss_delta_mb"]["import"], 1.0);
  EXPECT_GT(report["rss_delta_mb"]["copy"], 16.0);
  EXPECT_EQ(keys(report["latency_us"]), (std::set<std::string>{"host_call", "gemm_guest", "gemm_native"}));
  for (const auto& [name, value] : report["latency_us"].items()) EXPECT_GT(value, 0) << name;
  EXPECT_EQ(report["chain"]["same_pointer"], true);
  EXPECT_EQ(report["chain"]["bytes_copied"], 0);
}

TEST_F(Doctor, EachDeviceComputesWhereItIsToldTo) {
  for (const char* use : {"on", "off"}) {
    const Outcome outcome = cli({"doctor", "--device", "cpu", "--device-worker", use, "--json"});
    EXPECT_EQ(outcome.status, 0) << outcome.out << outcome.err;
    for (const json& device : json::parse(outcome.out)["links"]["device"]) {
      EXPECT_EQ(device["worker"], use == std::string_view("on")) << device;
    }
  }
}

TEST_F(Doctor, TableNamesEachLink) {
  const Outcome outcome = cli({"doctor"});
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  for (const char* link :
       {"memory", "cpu: same_memory", "wasm", "chain", "0 of 16384 elements wrong", "All is well."}) {
    EXPECT_NE(outcome.out.find(link), std::string::npos) << link << " in " << outcome.out;
  }
}

TEST_F(Doctor, TellsHowManyActorsTheLimitOfMappingsIsEnoughFor) {
  std::uint64_t limit = 0;
  const bool limited = static_cast<bool>(std::ifstream("/proc/sys/vm/max_map_count") >> limit);
  const json mappings = json::parse(cli({"doctor", "--device", "cpu", "--json"}).out)["mappings"];
  const std::string table = cli({"doctor", "--device", "cpu"}).out;
  if (!limited) {
    EXPECT_TRUE(mappings.is_null());
    EXPECT_EQ(table.find("mappings:"), std::string::npos);
    return;
  }
  EXPECT_EQ(mappings["limit"], limit);
  EXPECT_EQ(mappings["small"], limit < 65'530);
  EXPECT_NE(table.find(mappings["text"].get<std::string>() + "\n"), std::string::npos) << table;
}

TEST_F(Doctor, SaysThatMetalIsUntriedAndWhatToRun) {
  const std::string wanted = "DRIFTWOOD_DEVICES=metal scripts/test.sh --label device";
  EXPECT_NE(cli({"doctor"}).out.find(wanted), std::string::npos);
  EXPECT_NE(cli({"devices"}).out.find(wanted), std::string::npos);
}

TEST_F(Doctor, BudgetsThatAreNoSizesAreErrorsWithASentence) {
  for (const char* option : {"--max-weights", "--max-mirrors"}) {
    EXPECT_EQ(cli({"doctor", "--device", "cpu", option, "1G"}).status, 0) << option;
    expect_sentence(cli({"doctor", "--device", "cpu", option, "much"}), kInvalidArgument, "a number of bytes such as");
  }
}

TEST_F(Doctor, UnknownDeviceIsAnErrorWithTheKnownOnes) {
  expect_sentence(cli({"doctor", "--device", "abacus"}), kNotFound, "cpu");
}

TEST_F(Doctor, DevicesThatCannotBeAreErrorsWithASentence) {
  for (const char* name : {"cpu:1", "vulkan:x", "null:0", "vulkan:", ""}) {
    expect_sentence(cli({"doctor", "--device", name}), kNotFound, "a device is one of");
  }
  const json devices = json::parse(cli({"devices", "--json"}).out)["devices"];
  for (const json& device : devices) {
    const auto name = device["name"].get<std::string>();
    if (device["usable"] == true || name == "cpu" || name == "null") continue;
    EXPECT_NE(cli({"doctor", "--device", name}).status, 0) << device;
  }
  const auto is_vulkan = [](const json& device) { return device["name"].get<std::string>().starts_with("vulkan:"); };
  if (std::ranges::any_of(devices, is_vulkan)) {
    expect_sentence(cli({"doctor", "--device", "vulkan:99"}), kNotFound, "this machine has");
  }
}

TEST_F(Doctor, AutoTakesNoDeviceThatOnlyPretendsToBeHardware) {
  const json report = json::parse(cli({"devices", "--json"}).out);
  const auto first = report["devices"][0];
  EXPECT_TRUE(first["hardware"] == true || first["name"] == "cpu") << first;
}

using Program = CliTest;

TEST_F(Program, DevicesAreListedWithTheirSharing) {
  const json devices = json::parse(cli({"devices", "--json"}).out)["devices"];
  ASSERT_FALSE(devices.empty());
  EXPECT_EQ(devices[0]["name"], "cpu");
  EXPECT_EQ(devices[0]["sharing"], "same_memory");
  EXPECT_GE(devices[0]["threads"], 1);
  for (const json& device : devices) {
    expect_keys(device, {"name", "usable"});
    if (device["usable"] == true) {
      expect_keys(device, {"description", "hardware", "memory_bytes", "sharing", "weights_sharing", "import_alignment",
                           "tensor_alignment", "extensions"});
    } else {
      EXPECT_TRUE(device["problem"].get<std::string>().ends_with(".")) << device;
    }
  }
  const std::string table = cli({"devices"}).out;
  for (const char* column : {"sharing", "weights", "imports at", "tensors at", "same_memory"}) {
    EXPECT_NE(table.find(column), std::string::npos) << column << " in " << table;
  }
}

TEST_F(Program, VersionTellsWhatItIsMadeOf) {
  const json built = json::parse(cli({"version", "--json"}).out);
  EXPECT_TRUE(built["wasmtime"].get<std::string>().starts_with("48.")) << built;
  EXPECT_EQ(built["guest_abi"], 1);
  EXPECT_EQ(cli({"--version"}).out, "driftwood " + built["driftwood"].get<std::string>() + "\n");
}

TEST_F(Program, HelpOfEachCommandHasExamples) {
  for (const char* command : {"run", "chat", "models", "doctor", "devices", "bench", "version"}) {
    const Outcome outcome = cli({command, "--help"});
    EXPECT_EQ(outcome.status, 0) << command;
    EXPECT_NE(outcome.out.find(std::string("  driftwood ") + command), std::string::npos) << outcome.out;
  }
  EXPECT_NE(cli({"run", "--help"}).out.find("GUEST.wasm [ARGUMENTS...]"), std::string::npos);
}

TEST_F(Program, WrongCommandLinesAreUsageErrors) {
  expect_sentence(cli({}), kUsage, "--help");
  expect_sentence(cli({"dance"}), kUsage, "dance");
  expect_sentence(cli({"doctor", "--nope"}), kUsage, "--nope");
  expect_sentence(cli({"models", "show"}), kUsage, "MODEL");
}

TEST_F(Program, BenchHandsOverToTheProgramBesideIt) {
  const auto copy = folder() / "driftwood";
  std::filesystem::copy_file(DRIFTWOOD_BINARY, copy);
  const auto bench = [&] {
    return run({.arguments = {copy.string(), "bench", "chain", "--json"}, .environment = environment(), .input = {}});
  };
  expect_sentence(bench(), kNotFound, "scripts/bench.sh");
  const auto program = folder() / "driftwood-bench";
  std::ofstream(program) << "#!/bin/sh\necho \"$@\"\nexit 5\n";
  std::filesystem::permissions(program, std::filesystem::perms::owner_all);
  const Outcome outcome = bench();
  EXPECT_EQ(outcome.out, "chain --json\n");
  EXPECT_EQ(outcome.status, 5);
}

TEST_F(Program, FullOutputDiskIsNotTakenForSuccess) {
  if (!std::filesystem::exists("/dev/full")) GTEST_SKIP() << "There is no /dev/full here.";
  const Outcome outcome = run({.arguments = {"/bin/sh", "-c", std::string(DRIFTWOOD_BINARY) + " version >/dev/full"},
                               .environment = environment(),
                               .input = {}});
  EXPECT_EQ(outcome.status, kUnavailable) << outcome.err;
}

}  // namespace
}  // namespace driftwood::testing
