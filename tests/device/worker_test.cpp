// Device workers that end, hang, answer nonsense or never start: an error to whoever asked, memory intact, and the next
// computation is right.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <chrono>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "device/gemm.hpp"
#include "device/graph.hpp"
#include "device/worker/restarts.hpp"
#include "device/worker/worker_device.hpp"
#include "device/worker_processes.hpp"

namespace driftwood {
namespace {

using namespace driftwood::testing;
using ::testing::HasSubstr;
using worker::Restarts;

std::unique_ptr<Device> open(const std::string& name, std::chrono::milliseconds limit = std::chrono::seconds(60)) {
  auto device = worker::open_worker_device(name, {.program = DW_TEST_FAULT_WORKER, .time_limit = limit, .device = {}});
  EXPECT_TRUE(device) << device.error().to_string();
  return device ? *std::move(device) : nullptr;
}

/// A product over memory of its own.
struct Work {
  explicit Work(Device& device) : region(make_region(Gemm::kTotal)) {
    import = device.import(*region, {0, region->size()}, Require::any).value();
    EXPECT_TRUE(gemm.build(device, import));
  }
  Result<void> run(unsigned seed) {
    Gemm::fill(region->data(), seed);
    return gemm.run();
  }
  bool is_right() const { return Gemm::errors(region->data()) == 0; }

  std::unique_ptr<Region> region;
  Import import;
  Gemm gemm;
};

/// The second computation fails as `code` with `text`, the memory it read is intact, and the third is right.
void expect_recovery(Device& device, ErrorCode code, const std::string& text) {
  Work work(device);
  ASSERT_TRUE(work.run(1));
  ASSERT_TRUE(work.is_right());
  Gemm::fill(work.region->data(), 2);
  const std::vector<std::byte> before(work.region->data(), work.region->data() + 2 * Gemm::kBytes);
  const auto failed = work.gemm.run();
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().code, code) << failed.error().to_string();
  EXPECT_THAT(failed.error().message, HasSubstr(text));
  EXPECT_EQ(std::memcmp(before.data(), work.region->data(), before.size()), 0);
  const auto next = work.run(3);
  ASSERT_TRUE(next) << next.error().to_string();
  EXPECT_TRUE(work.is_right());
}

TEST(Worker, ThatAbortsFailsTheComputationAndTheNextOneIsRight) {
  const auto device = open("faulty:abort:2");
  expect_recovery(*device, ErrorCode::unavailable, "ended in the middle of a computation (signal 6 (Aborted))");
}

TEST(Worker, ThatLosesItsDeviceOpensItAgain) {
  const auto device = open("faulty:lost:2");
  expect_recovery(*device, ErrorCode::unavailable, "The device was lost, as it was told.");
}

TEST(Worker, ThatHangsIsEndedAfterItsTimeLimit) {
  const auto device = open("faulty:hang:2", std::chrono::milliseconds(1500));
  expect_recovery(*device, ErrorCode::internal, "did not answer within 1.5 s, and was ended");
}

TEST(Worker, ThatAnswersNonsenseIsEnded) {
  const auto device = open("faulty:nonsense:2");
  expect_recovery(*device, ErrorCode::internal, "answered with nonsense, and was ended");
}

TEST(Worker, ItsDevicesOwnErrorsAreNoReasonToEndIt) {
  const auto device = open("faulty:memory:2");
  const auto workers = worker_processes();
  expect_recovery(*device, ErrorCode::out_of_memory, "The device has no memory, as it was told.");
  EXPECT_EQ(worker_processes(), workers);
}

TEST(Worker, ThatIsKilledBetweenComputationsFailsAtMostOne) {
  const auto device = open("faulty:none:0");
  Work first(*device);
  ASSERT_TRUE(first.run(1));
  ASSERT_TRUE(kill_workers());
  // The system may not have closed its socket yet.
  if (const auto run = first.run(2); !run) {
    EXPECT_EQ(run.error().code, ErrorCode::unavailable);
    ASSERT_TRUE(first.run(2)) << "its import and its graph are made anew";
  }
  EXPECT_TRUE(first.is_right());
  ASSERT_TRUE(kill_workers());
  Work second(*device);
  ASSERT_TRUE(second.run(3)) << "what is set up is asked of the new one";
  EXPECT_TRUE(second.is_right());
}

TEST(Worker, ThatEndsEachTimeIsLostAtLast) {
  const auto device = open("faulty:abort:1");
  Work work(*device);
  Result<void> failed;
  int unavailable = 0;
  for (int i = 0; i <= Restarts::kMost; ++i) {
    failed = work.run(1);
    ASSERT_FALSE(failed);
    if (failed.error().code == ErrorCode::unavailable) ++unavailable;
  }
  EXPECT_EQ(unavailable, Restarts::kMost);
  EXPECT_EQ(failed.error().code, ErrorCode::device_lost);
  EXPECT_THAT(failed.error().message, HasSubstr("ended 6 times in a row, last by signal 6 (Aborted)"));
  const auto region = make_region(page_size());
  EXPECT_EQ(device->import(*region, {0, region->size()}).error().code, ErrorCode::device_lost);
}

TEST(Worker, IsThereWhereItIsAskedFor) {
  EXPECT_TRUE(open_device("null", {.worker = WorkerUse::on}).value()->info().in_worker);
  EXPECT_FALSE(open_device("null", {.worker = WorkerUse::off}).value()->info().in_worker);
}

TEST(Worker, ThatCannotStartSaysWhy) {
  const auto dies = worker::open_worker_device("dies", {.program = DW_TEST_FAULT_WORKER, .device = {}});
  ASSERT_FALSE(dies);
  EXPECT_EQ(dies.error().code, ErrorCode::unavailable);
  EXPECT_THAT(dies.error().message, HasSubstr("ended before it had opened the device: exit status 3"));
  const auto none = worker::open_worker_device("null", {.program = "/nowhere/worker", .device = {}});
  ASSERT_FALSE(none);
  EXPECT_THAT(none.error().message, HasSubstr("/nowhere/worker) cannot be started: No such file"));
  const auto unknown = worker::open_worker_device("abacus", {.program = DW_TEST_FAULT_WORKER, .device = {}});
  ASSERT_FALSE(unknown);
  EXPECT_EQ(unknown.error().code, ErrorCode::not_found);
}

TEST(Worker, TellsWhatIsFreeOnItsDevice) {
  EXPECT_EQ(open("null")->free_memory(), kMiB);
  EXPECT_EQ(open("null_copied")->free_memory(), std::nullopt);
  const auto device = open("null");
  alignas(64) static constexpr std::array<std::byte, kMiB + 64> weights{};
  const auto import = device->import_read_only(weights.data(), weights.size(), Require::any);
  ASSERT_FALSE(import);
  EXPECT_EQ(import.error().code, ErrorCode::out_of_memory);
  EXPECT_TRUE(device->import_read_only(weights.data(), kMiB, Require::any));
}

TEST(Worker, EndsWithItsDevice) {
  auto device = open("faulty:none:0");
  ASSERT_FALSE(worker_processes().empty());
  device.reset();
  EXPECT_TRUE(worker_processes().empty());
}

TEST(Worker, ComputationIsCancelledInTheMiddle) {
  const auto device = open_device("cpu", {.threads = 1, .worker = WorkerUse::on}).value();
  constexpr std::int64_t kSide = 768;
  const auto region = make_region(kSide * kSide * sizeof(float));
  const Import import = device->import(*region, {0, region->size()}).value();
  const auto graph =
      Graph::create(*device, 4100, [&](Graph& g, ggml_context* context, ggml_cgraph* nodes) -> Result<void> {
        ggml_tensor* x = ggml_new_tensor_2d(context, GGML_TYPE_F32, kSide, kSide);
        DW_TRY(g.bind(x, import, 0));
        ggml_tensor* y = x;
        for (int i = 0; i < 2000; ++i) y = ggml_mul_mat(context, x, y);
        ggml_build_forward_expand(nodes, y);
        return {};
      }).value();
  std::atomic<bool> cancel{false};
  std::thread canceller([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    cancel = true;
  });
  const auto run = graph->run(&cancel);
  canceller.join();
  ASSERT_FALSE(run);
  EXPECT_EQ(run.error().code, ErrorCode::cancelled) << run.error().to_string();
}

TEST(Worker, SeesWhatWasWrittenToPagesOfAnImage) {
  const auto device = open_device("null", {.worker = WorkerUse::on}).value();
  const std::size_t size = align_up(Gemm::kTotal, page_size());
  const auto parent = make_region(size);
  Gemm::fill(parent->data(), 1);
  const auto image = parent->seal().value();
  const auto child = Region::create_over(image, {.reserve = size, .commit = size}).value();
  const Import import = device->import(*child, {0, size}).value();
  Gemm gemm;
  ASSERT_TRUE(gemm.build(*device, import));
  for (unsigned seed = 1; seed < 6; ++seed) {
    ASSERT_TRUE(gemm.run());
    EXPECT_EQ(Gemm::errors(child->data()), 0U) << "seed " << seed;
    Gemm::fill(child->data(), seed + 1);
  }
  EXPECT_NE(Gemm::errors(parent->data()), 0U) << "its parent has none of it";
}

TEST(Restarts, WaitLongerEachTimeAndEnd) {
  Restarts restarts;
  std::vector<std::int64_t> delays;
  while (const auto delay = restarts.delay()) {
    delays.push_back(delay->count());
    restarts.note_end();
  }
  EXPECT_THAT(delays, ::testing::ElementsAre(0, 0, 25, 50, 100, 200));
  restarts.note_success();
  EXPECT_EQ(restarts.delay()->count(), 0);
}

}  // namespace
}  // namespace driftwood
