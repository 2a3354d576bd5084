// A device that fails under the actors of a node: those that it concerns hear of it, none of them is lost, and they go
// on on the same device, on it opened anew or on another one as if nothing had happened.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "device/null/null_device.hpp"
#include "memory/page_watch.hpp"
#include "node_talkers.hpp"

namespace driftwood {
namespace {

using namespace driftwood::testing;
using ::testing::HasSubstr;

class NodeFaults : public NodeTalkers {
 protected:
  using NodeTalkers::place;
  /// A null device that does as `control` is told.
  Place place(const std::shared_ptr<NullDeviceControl>& control) {
    return place(value_of(create_null_device(control)));
  }
};

/// A way to fail that passes by, and what the actor hears.
struct Fault {
  const char* name;
  std::function<void(NullDeviceControl&)> begin;
  const char* says;
};
class NodePassingFaults : public NodeFaults, public ::testing::WithParamInterface<Fault> {};

TEST_P(NodePassingFaults, ConcernOneMessageAndItsActorGoesOnAsIfNothingHadBeen) {
  for (const Sharing sharing : {Sharing::same_memory, Sharing::mapped_over_bus}) {
    const auto control = std::make_shared<NullDeviceControl>(NullDeviceOptions{.sharing = sharing});
    const Place faulty = place(control);
    const Place sound = place(std::make_shared<NullDeviceControl>(NullDeviceOptions{.sharing = sharing}));
    const auto [actor, undisturbed] = talkers(faulty, sound, 5);
    const auto [other, other_undisturbed] = talkers(faulty, sound, 6);
    for (int turn = 1; turn < 4; ++turn) {
      GetParam().begin(*control);
      const std::string heard = say(actor, turn);
      EXPECT_THAT(heard, HasSubstr("error: "));
      EXPECT_THAT(heard, HasSubstr(GetParam().says));
      node_->wait_idle();
      EXPECT_EQ(state(actor), ActorState::at_rest);
      control->refuse_imports(false);
      EXPECT_EQ(say(other, turn), say(other_undisturbed, turn));
      EXPECT_EQ(say(actor, turn), say(undisturbed, turn));
    }
    node_->shutdown();
    make();
  }
}

INSTANTIATE_TEST_SUITE_P(
    All, NodePassingFaults,
    ::testing::Values(Fault{"OutOfMemory", [](auto& control) { control.fail_computes(1, ErrorCode::out_of_memory); },
                            "failed a computation as it was told (out_of_memory)"},
                      Fault{"AKernelThatFails", [](auto& control) { control.fail_computes(1, ErrorCode::internal); },
                            "failed a computation as it was told (internal)"},
                      Fault{"AKernelThatFailsWhenItHasWritten",
                            [](auto& control) { control.fail_computes_late(1, ErrorCode::internal); },
                            "failed at the end of a computation as it was told (internal)"}),
    [](const auto& test) { return test.param.name; });

TEST_F(NodeFaults, ALostDeviceLosesNoActor) {
  const auto control = std::make_shared<NullDeviceControl>();
  Place lost = place(control);
  const Place sound = place(std::make_shared<NullDeviceControl>());
  std::vector<Pair> pairs;
  for (std::uint64_t seed = 1; seed <= 4; ++seed) pairs.push_back(talkers(lost, sound, seed));
  control->fail_computes(1, ErrorCode::device_lost);
  for (const auto& [actor, undisturbed] : pairs) {
    const std::string heard = say(actor, 1);
    EXPECT_THAT(heard, HasSubstr("error: "));
    EXPECT_THAT(heard, ::testing::AnyOf(HasSubstr("(device_lost)"), HasSubstr("was lost: open it again")));
    node_->wait_idle();
    EXPECT_EQ(state(actor), ActorState::at_rest);
  }
  // The device opened anew, and a device of another kind.
  const Place again = place(std::make_shared<NullDeviceControl>());
  const Place cpu = place(value_of(open_device("cpu", {.threads = 1})));
  for (std::size_t i = 0; i < pairs.size(); ++i) {
    const ActorId moved = move(pairs[i].actor, i % 2 == 0 ? again : cpu);
    EXPECT_EQ(say(moved, 1), say(pairs[i].undisturbed, 1));
    EXPECT_EQ(say(moved, 2), say(pairs[i].undisturbed, 2));
  }
  // Others of the node never heard of it.
  EXPECT_THAT(say(talker(again, 9), 0), HasSubstr("answer: "));
  node_.reset();
}

TEST_F(NodeFaults, ADeviceThatIsLostInAMirrorLosesNoActor) {
  if (const auto watch = PageWatch::create(); !watch) GTEST_SKIP() << watch.error().to_string();
  const NullDeviceOptions options{.host_kernels = false, .mirror_chunks = 64};
  const auto control = std::make_shared<NullDeviceControl>(options);
  const Place lost = place(control);
  const Place sound = place(std::make_shared<NullDeviceControl>(options));
  const auto [actor, undisturbed] = talkers(lost, sound, 3);
  const auto [other, other_undisturbed] = talkers(lost, sound, 4);
  control->fail(NullStep::copy_out, 1, ErrorCode::device_lost);
  EXPECT_THAT(say(actor, 1), HasSubstr("failed a copy to the host as it was told (device_lost)"));
  for (const ActorId id : {actor, other}) {
    EXPECT_THAT(say(id, 1), HasSubstr("was lost: open it again"));
    node_->wait_idle();
    EXPECT_EQ(state(id), ActorState::at_rest);
  }
  const Place again = place(std::make_shared<NullDeviceControl>(options));
  EXPECT_EQ(say(move(actor, again), 1), say(undisturbed, 1));
  EXPECT_EQ(say(move(other, again), 1), say(other_undisturbed, 1));
  node_.reset();
}

TEST_F(NodeFaults, ADeviceThatRefusesAnActorsMemoryRefusesThatActorAlone) {
  const auto control = std::make_shared<NullDeviceControl>();
  const Place place = this->place(control);
  const Place sound = this->place(std::make_shared<NullDeviceControl>());
  const auto [actor, undisturbed] = talkers(place, sound, 3);
  const Snapshot snapshot = value_of(node_->freeze(actor));
  control->refuse_imports(true);
  // A freeze lets the device go of the memory: the next message has it imported again.
  EXPECT_THAT(say(actor, 1), HasSubstr("refuses imports"));
  node_->wait_idle();
  EXPECT_EQ(state(actor), ActorState::at_rest);
  EXPECT_EQ(say(undisturbed, 1), say(move(actor, sound), 1));
  control->refuse_imports(false);
  EXPECT_THAT(say(value_of(node_->thaw(program(DW_TEST_CHAT), snapshot, on(place))), 1), HasSubstr("answer: "));
  node_.reset();
}

}  // namespace
}  // namespace driftwood
