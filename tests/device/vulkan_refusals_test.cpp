// A Vulkan driver that refuses to import the memory of a node's actors: those that it concerns hear of it and go on,
// there when it takes their memory again, or on the CPU.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "node_talkers.hpp"
#include "support/refused_imports.hpp"

namespace driftwood {
namespace {

using namespace driftwood::testing;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

struct Refusal {
  const char* name;
  ImportStep step;
  VkResult result;
};

class VulkanRefusals : public NodeTalkers, public ::testing::WithParamInterface<Refusal> {
 protected:
  void SetUp() override {
    for (const DeviceListing& device : list_devices()) {
      if (device.info.name.starts_with("vulkan:") && device.obstacle.empty()) name_ = device.info.name;
    }
    if (name_.empty()) GTEST_SKIP() << "There is no Vulkan device here.";
    NodeTalkers::SetUp();
  }

  Place open(const std::string& name) { return place(value_of(open_device(name, {.worker = WorkerUse::off}))); }
  ActorId copy(ActorId actor, const Place& to) {
    return value_of(node_->thaw(program(DW_TEST_CHAT), value_of(node_->freeze(actor)), on(to)));
  }

  std::string name_;
};

TEST_P(VulkanRefusals, OfAnActorsMemoryConcernThatActorAlone) {
  const Place vulkan = open(name_);
  const Place cpu = open("cpu");
  const auto [actor, undisturbed] = talkers(vulkan, vulkan, 3);
  const auto [other, other_undisturbed] = talkers(vulkan, vulkan, 4);
  const std::string next_on_cpu = say(copy(undisturbed, cpu), 1);
  const std::string next = say(undisturbed, 1);
  EXPECT_THAT(next, StartsWith("answer: "));
  // A freeze lets the device go of the memory: the next message has it imported again.
  ASSERT_TRUE(node_->freeze(actor));
  {
    const RefusedImports refused(GetParam().step, GetParam().result);
    for (int tries = 0; tries < 2; ++tries) {
      EXPECT_THAT(say(actor, 1), AllOf(StartsWith("error: "),
                                       HasSubstr("The driver of the device (" + name_ + ") refused to import")));
      node_->wait_idle();
      EXPECT_EQ(state(actor), ActorState::at_rest);
    }
    // Its memory is on the device already.
    EXPECT_EQ(say(other, 1), say(other_undisturbed, 1));
    EXPECT_EQ(say(copy(actor, cpu), 1), next_on_cpu);
  }
  EXPECT_EQ(say(actor, 1), next);
  EXPECT_THAT(say(talker(vulkan, 9), 0), StartsWith("answer: "));
  node_.reset();
}

TEST_P(VulkanRefusals, OfMemoryFilesAreHeardOfWhenTheDeviceIsOpened) {
  {
    const RefusedImports refused(GetParam().step, GetParam().result);
    const auto device = open_device(name_, {.worker = WorkerUse::off});
    ASSERT_FALSE(device);
    EXPECT_EQ(device.error().code, ErrorCode::unsupported);
    EXPECT_THAT(device.error().message, AllOf(HasSubstr("The driver of the device (" + name_ + ") refused to import"),
                                              HasSubstr("Actors' memory lies in memory files")));
  }
  EXPECT_TRUE(open_device(name_, {.worker = WorkerUse::off}));
}

TEST_P(VulkanRefusals, OfAModelsFileHaveItsWeightsCopied) {
  const Place sound = open(name_);
  const std::string answer = say(talker(sound, 5), 0);
  const Place place = open(name_);
  const std::uint64_t before = place.device->bytes_copied();
  {
    const RefusedImports refused(GetParam().step, GetParam().result);
    ASSERT_TRUE(place.models->open("oak"));
  }
  EXPECT_GE(place.device->bytes_copied() - before, std::filesystem::file_size(folder_.path() / "oak.gguf"));
  EXPECT_EQ(say(talker(place, 5), 0), answer);
  node_.reset();
}

TEST_P(VulkanRefusals, OfWeightsHaveThemCopiedInPiecesThatAreTold) {
  const Place place = open(name_);
  std::vector<std::byte> weights(80 * kMiB);
  auto* const at =
      reinterpret_cast<std::byte*>(align_up(reinterpret_cast<std::uintptr_t>(weights.data()), page_size()));
  std::vector<double> told;
  const RefusedImports refused(GetParam().step, GetParam().result);
  const auto import = place.device->import_read_only(at, 72 * kMiB, Require::any, {},
                                                     [&](double fraction) { told.push_back(fraction); });
  ASSERT_TRUE(import) << import.error().to_string();
  ASSERT_GE(told.size(), 3U);
  EXPECT_TRUE(std::ranges::is_sorted(told));
  EXPECT_GT(told.front(), 0.0);
  EXPECT_LT(told.front(), 0.5);
  EXPECT_EQ(told.back(), 1.0);
}

INSTANTIATE_TEST_SUITE_P(
    All, VulkanRefusals,
    ::testing::Values(Refusal{"AsNoMemoryOfItsKind", ImportStep::asking_how, VK_ERROR_INVALID_EXTERNAL_HANDLE},
                      Refusal{"AsAnInvalidHandle", ImportStep::importing, VK_ERROR_INVALID_EXTERNAL_HANDLE},
                      Refusal{"ForLackOfMemory", ImportStep::importing, VK_ERROR_OUT_OF_DEVICE_MEMORY}),
    [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace driftwood
