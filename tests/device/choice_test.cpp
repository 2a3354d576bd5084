// Which device a name means, and what "auto" takes and says where hardware is missing, broken, too small or full.
#include "device/choice.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "core/log.hpp"
#include "device/null/null_device.hpp"

namespace driftwood {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr std::uint64_t kCardBytes = 2'000'000'000;
constexpr std::uint64_t kFreeBytes = 500'000'000;

bool yes() { return true; }
bool no() { return false; }

DeviceListing listing(std::string name, std::string description, bool hardware) {
  return {.info = {.name = std::move(name), .description = std::move(description)},
          .hardware = hardware,
          .extensions = {},
          .obstacle = {}};
}
Result<std::unique_ptr<Device>> open_null(std::uint32_t, const DeviceOptions&) {
  return create_null_device(std::make_shared<NullDeviceControl>());
}
/// A card that others have filled but for kFreeBytes.
Result<std::unique_ptr<Device>> open_filled(std::uint32_t, const DeviceOptions&) {
  return create_null_device(
      std::make_shared<NullDeviceControl>(NullDeviceOptions{.sharing = Sharing::copied, .free_memory = kFreeBytes}));
}
Result<std::unique_ptr<Device>> open_broken(std::uint32_t, const DeviceOptions&) {
  return fail(ErrorCode::unavailable, "The card does not answer.");
}

// Its device is the null device, so that a test can tell it from others.
DeviceDriver cpu() {
  return {.name = "cpu",
          .likely = no,
          .list = []() -> Result<std::vector<DeviceListing>> { return std::vector{listing("cpu", "cores", false)}; },
          .open = open_null};
}
DeviceDriver without_driver() {
  return {.name = "vulkan",
          .numbered = true,
          .likely = yes,
          .list = []() -> Result<std::vector<DeviceListing>> {
            return fail(ErrorCode::unavailable, "No Vulkan driver is installed.");
          },
          .open = open_broken};
}
/// Two cards: one that an obstacle is in the way of, and one of kCardBytes that holds copies of weights.
Result<std::vector<DeviceListing>> two_cards() {
  std::vector cards{listing("cuda:0", "An old card", true), listing("cuda:1", "A card", true)};
  cards[0].obstacle = "It is too old.";
  cards[1].info.memory_total = kCardBytes;
  cards[1].info.capabilities.weights_sharing = Sharing::copied;
  return cards;
}
DeviceDriver cards(Result<std::unique_ptr<Device>> (*open)(std::uint32_t, const DeviceOptions&)) {
  return {.name = "cuda", .numbered = true, .likely = yes, .list = two_cards, .open = open};
}
DeviceDriver pretended() {
  return {.name = "vulkan",
          .numbered = true,
          .likely = yes,
          .list = []() -> Result<std::vector<DeviceListing>> {
            return std::vector{listing("vulkan:0", "A program", false)};
          },
          .open = open_broken};
}

/// What choose_device says and gives.
struct Choice {
  Result<std::unique_ptr<Device>> device;
  std::string log;
};
Choice choose(const std::vector<DeviceDriver>& kinds, std::string_view name, const DeviceOptions& options = {}) {
  ::testing::internal::CaptureStderr();
  auto device = choose_device(kinds, name, options);
  return {std::move(device), ::testing::internal::GetCapturedStderr()};
}

void expect_refused(const Choice& choice, ErrorCode code, const std::string& sentence) {
  ASSERT_FALSE(choice.device);
  EXPECT_EQ(choice.device.error().code, code);
  EXPECT_EQ(choice.device.error().message, sentence);
}

TEST(Auto, TakesTheFirstHardwareThatOpensAndSaysWhatItPassedOver) {
  const Choice choice = choose({without_driver(), cards(open_null), cpu()}, "auto");
  ASSERT_TRUE(choice.device);
  EXPECT_THAT(choice.log, AllOf(HasSubstr("warning: No vulkan device is used. No Vulkan driver is installed."),
                                HasSubstr("warning: The device cuda:0 (An old card) is not used. It is too old."),
                                Not(HasSubstr("the CPU computes"))));
}

TEST(Auto, FallsBackToTheCpuAndSaysSo) {
  for (auto [kind, reason] :
       {std::pair(without_driver(), "No vulkan device is used. No Vulkan driver is installed."),
        std::pair(cards(open_broken), "The device cuda:1 (A card) is not used. The card does not answer."),
        std::pair(pretended(), "")}) {
    const Choice choice = choose({kind, cpu()}, "auto");
    ASSERT_TRUE(choice.device) << reason;
    EXPECT_THAT(choice.log, HasSubstr(reason));
    EXPECT_THAT(choice.log,
                AllOf(HasSubstr("warning: No device with hardware of its own can be used: the CPU computes."),
                      Not(HasSubstr("A program"))));
  }
}

TEST(Auto, IsSilentWhereTheMachineShowsNoHardwareUnlessAsked) {
  DeviceDriver unlikely = cards(open_broken);
  unlikely.likely = no;
  EXPECT_EQ(choose({unlikely, cpu()}, "auto").log, "");
  set_log_level(LogLevel::info);
  const Choice told = choose({unlikely, cpu()}, "auto");
  set_log_level(LogLevel::warning);
  EXPECT_THAT(told.log, HasSubstr("the CPU computes."));
}

TEST(Auto, PassesOverACardThatIsTooSmallForTheWeights) {
  const std::vector<DeviceDriver> kinds{cards(open_null), cpu()};
  EXPECT_THAT(choose(kinds, "auto", {.weights_bytes = kCardBytes}).log, Not(HasSubstr("A card")));
  const Choice choice = choose(kinds, "auto", {.weights_bytes = kCardBytes + 1});
  ASSERT_TRUE(choice.device);
  EXPECT_THAT(choice.log, AllOf(HasSubstr("The device cuda:1 (A card) is not used. Its memory (2.0 GB) is less than "
                                          "the weights take (2.0 GB)."),
                                HasSubstr("the CPU computes.")));
}

TEST(Auto, PassesOverACardThatOthersHaveFilled) {
  const std::vector<DeviceDriver> kinds{cards(open_filled), cpu()};
  const Choice fits = choose(kinds, "auto", {.weights_bytes = kFreeBytes});
  ASSERT_TRUE(fits.device);
  EXPECT_EQ((*fits.device)->free_memory(), kFreeBytes);
  const Choice choice = choose(kinds, "auto", {.weights_bytes = kFreeBytes + 1'000'000});
  ASSERT_TRUE(choice.device);
  EXPECT_EQ((*choice.device)->free_memory(), std::nullopt) << "the CPU's";
  EXPECT_THAT(choice.log, AllOf(HasSubstr("The device cuda:1 (A card) is not used. The device (null) has 500.0 MB of "
                                          "its memory free, and the weights take 501.0 MB."),
                                HasSubstr("the CPU computes.")));
}

TEST(Listing, IsBestFirstAndHasAKindWithoutDevicesWithItsReason) {
  const std::vector<DeviceDriver> kinds{without_driver(), pretended(), cpu(), cards(open_null)};
  const std::vector<DeviceListing> all = list_devices_of(kinds);
  std::vector<std::string> names;
  for (const DeviceListing& device : all) names.push_back(device.info.name);
  ASSERT_THAT(names, ::testing::ElementsAre("cuda:1", "cpu", "vulkan:0", "vulkan", "cuda:0"));
  EXPECT_THAT(all[3].obstacle, HasSubstr("No Vulkan driver is installed."));
}

TEST(NamedDevice, ThatCannotBeUsedIsAnErrorAndNeverAnotherDevice) {
  const std::vector<DeviceDriver> kinds{cards(open_broken), without_driver(), cpu()};
  expect_refused(choose(kinds, "vulkan"), ErrorCode::unavailable, "No Vulkan driver is installed.");
  expect_refused(choose(kinds, "vulkan:7"), ErrorCode::unavailable, "No Vulkan driver is installed.");
  expect_refused(choose(kinds, "cuda"), ErrorCode::unsupported,
                 "The device cuda:0 (An old card) cannot be used. It is too old.");
  expect_refused(choose(kinds, "cuda:1"), ErrorCode::unavailable, "The card does not answer.");
  expect_refused(choose(kinds, "cuda:1", {.weights_bytes = 3'000'000'000}), ErrorCode::out_of_memory,
                 "The device cuda:1 (A card) is too small. Its memory (2.0 GB) is less than the weights take (3.0 "
                 "GB).");
  expect_refused(choose({cards(open_filled)}, "cuda:1", {.weights_bytes = 1'000'000'000}), ErrorCode::out_of_memory,
                 "The device (null) has 500.0 MB of its memory free, and the weights take 1.0 GB.");
}

TEST(NamedDevice, WithAnIndexThatThereIsNotIsAnErrorWithThoseThatThereAre) {
  const std::vector<DeviceDriver> kinds{cards(open_null), cpu()};
  for (const std::string name : {"cuda:2", "cuda:4294967295"}) {
    expect_refused(choose(kinds, name), ErrorCode::not_found,
                   "There is no device '" + name + "': this machine has 2 of the kind, cuda:0 to cuda:1.");
  }
  for (const std::string name : {"cuda:4294967296", "cuda:-1", "cuda:1 ", "cuda:0x1", "cuda:", "cuda::1", "cpu:0"}) {
    expect_refused(choose(kinds, name), ErrorCode::not_found,
                   "There is no device '" + name + "'; a device is one of auto, cuda[:N], cpu.");
  }
}

}  // namespace
}  // namespace driftwood
