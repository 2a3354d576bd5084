// Devices that are named and are not there, and "auto" without hardware: what every command says and does.
#include "e2e/cli.hpp"
#include "tools/random_model.hpp"

namespace driftwood::testing {
namespace {

using nlohmann::json;

const std::string kProbe = DRIFTWOOD_CLI_PROBE;
const std::string kActor = DRIFTWOOD_ACTOR_PROBE;

class Devices : public CliTest {
 protected:
  void SetUp() override {
    const auto written = write_random_model({}, model_);
    ASSERT_TRUE(written) << written.error().to_string();
    ASSERT_EQ(cli({"freeze", kActor, "--label", "one", "--device", "cpu"}).status, 0);
  }

  /// Each command that computes, on a device.
  std::vector<std::vector<std::string>> commands(const std::string& device) const {
    return {{"chat", "--device", device, "-m", model_.string(), "--prompt", "Hello", "--max-tokens", "1"},
            {"run", "--device", device, kProbe, "exit", "0"},
            {"freeze", kActor, "--device", device},
            {"thaw", "one", "--device", device},
            {"fork", "one", "2", "--device", device},
            {"doctor", "--device", device}};
  }
  /// Runs the program where the Vulkan loader is told of these drivers.
  Outcome with_drivers(const std::string& files, const std::vector<std::string>& arguments) const {
    Environment all = environment();
    all.emplace_back("VK_ICD_FILENAMES", files);
    all.emplace_back("VK_DRIVER_FILES", files);
    return run({.arguments = with_program(arguments), .environment = std::move(all), .input = {}});
  }
  json listed(const std::string& kind, const std::string& drivers) const {
    const json devices = json::parse(with_drivers(drivers, {"devices", "--json"}).out)["devices"];
    for (const json& device : devices) {
      if (device["name"].get<std::string>().starts_with(kind)) return device;
    }
    return {};
  }
  /// Drivers that no machine has.
  std::vector<std::string> no_drivers() const {
    return {(folder() / "gone.json").string(), file("broken.json", "no driver"),
            file("missing.json",
                 R"({"file_format_version": "1.0.0", "ICD": {"library_path": "/gone.so", "api_version": "1.3.0"}})")};
  }

  std::filesystem::path model_ = folder() / "tiny.gguf";
};

TEST_F(Devices, ThatAreNamedAndNotThereAreErrorsOfEveryCommand) {
  for (const auto& command : commands("vulkan:4000000000")) {
    const Outcome outcome = cli(command);
    EXPECT_TRUE(outcome.status == kNotFound || outcome.status == kUnavailable) << command[0] << ": " << outcome.err;
    expect_sentence(outcome, outcome.status, "");
  }
  for (const std::string name : {"vulkan:99999999999999999999", "vulkan:-1", "cuda:one", "cpu:0"}) {
    expect_sentence(cli({"run", "--device", name, kProbe}), kNotFound, "no device '" + name + "'");
  }
  if (listed("cuda", "")["usable"] == true) return;
  for (const std::string name : {"cuda", "cuda:3"}) {
    expect_sentence(cli({"run", "--device", name, kProbe}), kUnavailable, "the device cuda");
  }
}

TEST_F(Devices, WithoutAVulkanDriverAreToldAsWhatTheyAre) {
  for (const std::string& drivers : no_drivers()) {
    const json vulkan = listed("vulkan", drivers);
    EXPECT_EQ(vulkan["usable"], false) << drivers;
    const auto why = vulkan["problem"].get<std::string>();
    expect_sentence(with_drivers(drivers, {"run", "--device", "vulkan:1", kProbe}), kUnavailable,
                    why.substr(0, why.find('.')));
  }
  const std::string gone = no_drivers().front();
  for (const auto& command : commands("vulkan")) {
    expect_sentence(with_drivers(gone, command), kUnavailable, "the device vulkan");
  }
  EXPECT_EQ(with_drivers(gone, {"doctor"}).status, 0) << "a device that is not there is no fault of the chain's";
}

TEST_F(Devices, AutoComputesOnTheCpuWhereThereIsNoDriverAndSaysSo) {
  const std::string gone = no_drivers().front();
  if (listed("cuda", gone)["usable"] == true) GTEST_SKIP() << "There is another device with hardware.";
  for (auto command : commands("auto")) {
    if (command[0] == "doctor") continue;  // it does the same, and more, which takes its time
    command.insert(command.begin() + 1, "--verbose");
    const Outcome outcome = with_drivers(gone, command);
    EXPECT_EQ(outcome.status, 0) << command[0] << ": " << outcome.err;
    EXPECT_NE(outcome.err.find("the CPU computes."), std::string::npos) << command[0] << ": " << outcome.err;
  }
}

}  // namespace
}  // namespace driftwood::testing
