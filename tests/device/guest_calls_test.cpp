// What every host call says of wrong arguments, and that the guest goes on.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "device/device.hpp"
#include "support/fake_guest.hpp"

namespace driftwood {
namespace {

using test::FakeGuest;
using testing::HasSubstr;

TEST(GuestErrors, AreTheHeadersNumbers) {
  EXPECT_EQ(guest_errno(ErrorCode::invalid_argument), DW_E_INVALID_ARGUMENT);
  EXPECT_EQ(guest_errno(ErrorCode::not_found), DW_E_NOT_FOUND);
  EXPECT_EQ(guest_errno(ErrorCode::unsupported), DW_E_UNSUPPORTED);
  EXPECT_EQ(guest_errno(ErrorCode::out_of_memory), DW_E_OUT_OF_MEMORY);
  EXPECT_EQ(guest_errno(ErrorCode::device_lost), DW_E_DEVICE_LOST);
  EXPECT_EQ(guest_errno(ErrorCode::corrupt), DW_E_CORRUPT);
  EXPECT_EQ(guest_errno(ErrorCode::incompatible), DW_E_INCOMPATIBLE);
  EXPECT_EQ(guest_errno(ErrorCode::guest_trap), DW_E_GUEST_TRAP);
  EXPECT_EQ(guest_errno(ErrorCode::unavailable), DW_E_UNAVAILABLE);
  EXPECT_EQ(guest_errno(ErrorCode::cancelled), DW_E_CANCELLED);
  EXPECT_EQ(guest_errno(ErrorCode::internal), DW_E_INTERNAL);
}

TEST(GuestInfo, TellsAddressesOnlyWhereTheyAreGranted) {
  const auto device = open_device("cpu").value();
  for (const bool shown : {false, true}) {
    GuestHostOptions options;
    options.device = device.get();
    options.grants.show_addresses = shown;
    options.memory_limit = 128 * kMiB;
    FakeGuest guest(std::move(options));
    dw_info info{};
    info.size = sizeof(info);
    const std::uint32_t out = guest.put_struct(info);
    ASSERT_EQ(guest.call("info", {out}), DW_OK);
    info = guest.get<dw_info>(out, 1)[0];
    EXPECT_EQ(info.abi_version, DW_ABI_VERSION);
    EXPECT_EQ(info.page_size, page_size());
    EXPECT_EQ(info.sharing, DW_SHARING_SAME_MEMORY);
    EXPECT_EQ(info.memory_limit_pages, 2048);
    EXPECT_GT(info.threads, 0);
    EXPECT_STREQ(info.device, "cpu");
    EXPECT_EQ(info.bytes_copied, 0);
    const auto base = reinterpret_cast<std::uintptr_t>(guest.memory().data());
    EXPECT_EQ(info.host_base, shown ? base : 0);
    EXPECT_EQ(info.device_base, shown ? base : 0);
  }
}

class GuestCalls : public testing::Test {
 protected:
  static GuestHostOptions options(Device& device, std::vector<std::string>& lines) {
    GuestHostOptions made;
    made.device = &device;
    made.grants.models = {"bark", "apple"};
    made.log = [&lines](std::uint32_t level, std::string_view text) {
      lines.push_back(std::to_string(level) + ":" + std::string(text));
    };
    return made;
  }
  // The call fails with `code` and a sentence that contains `part`; the next call works.
  void expect_error(std::string_view name, std::initializer_list<std::uint32_t> arguments, std::int32_t code,
                    const std::string& part) {
    EXPECT_EQ(guest_.call(name, arguments), code) << name;
    EXPECT_THAT(guest_.last_error(), HasSubstr(part)) << name;
    EXPECT_EQ(guest_.call("abi_version", {}), DW_ABI_VERSION);
  }

  std::unique_ptr<Device> device_ = open_device("cpu").value();
  std::vector<std::string> lines_;
  FakeGuest guest_{options(*device_, lines_)};
};

TEST_F(GuestCalls, RefuseWildPointers) {
  const std::uint32_t end = guest_.size();
  const std::uint32_t fine = guest_.allocate(256);
  const std::string beyond = "reaches beyond linear memory";
  expect_error("info", {end}, DW_E_INVALID_ARGUMENT, "\"out\" of dw_get_info");
  expect_error("info", {0xfffffffc}, DW_E_INVALID_ARGUMENT, beyond);
  expect_error("log", {DW_LOG_INFO, end - 4, 5}, DW_E_INVALID_ARGUMENT, beyond);
  expect_error("log", {DW_LOG_INFO, 0, 0xffffffff}, DW_E_INVALID_ARGUMENT, beyond);
  expect_error("last_error", {end - 8, 16}, DW_E_INVALID_ARGUMENT, "\"buffer\" of dw_last_error");
  expect_error("tensor_run", {end, 1, fine, 0}, DW_E_INVALID_ARGUMENT, "\"tensors\" of dw_tensor_run");
  expect_error("tensor_run", {fine, 1, 0xfffffff0, 1}, DW_E_INVALID_ARGUMENT, "\"ops\" of dw_tensor_run");
  expect_error("tensor_run", {fine, 0xffffffff, fine, 1}, DW_E_INVALID_ARGUMENT, "\"n_tensors\"");
  expect_error("model_open", {end, 4, fine}, DW_E_INVALID_ARGUMENT, "\"name\" of dw_model_open");
  expect_error("model_open", {fine, 4, end}, DW_E_INVALID_ARGUMENT, "\"model\" of dw_model_open");
  expect_error("model_open", {fine, 129, fine}, DW_E_INVALID_ARGUMENT, "129 bytes; 128 are allowed");
  expect_error("context_size", {end - 2, fine}, DW_E_INVALID_ARGUMENT, "\"params\" of dw_context_size");
  expect_error("context_init", {0xffffffff, fine, 0xffffffff}, DW_E_INVALID_ARGUMENT, beyond);
  expect_error("forward", {end}, DW_E_INVALID_ARGUMENT, "\"desc\" of dw_forward");
}

TEST_F(GuestCalls, RefusePointersThatAreNotAligned) {
  expect_error("info", {1026}, DW_E_INVALID_ARGUMENT, "(offset 1026) is not aligned to 4 bytes");
  expect_error("forward", {1025}, DW_E_INVALID_ARGUMENT, "not aligned");
}

TEST_F(GuestCalls, RefuseStructsOfAnotherSize) {
  const std::uint32_t wrong = guest_.put_struct(dw_info{});
  expect_error("info", {wrong}, DW_E_INVALID_ARGUMENT, "\"out\" of dw_get_info (0) is not the struct's size");
  expect_error("forward", {wrong}, DW_E_INVALID_ARGUMENT, "\"desc\" of dw_forward (0)");
  expect_error("context_size", {wrong, wrong}, DW_E_INVALID_ARGUMENT, "\"params\" of dw_context_size (0)");
}

TEST_F(GuestCalls, RefuseHandlesThatAreNotOpen) {
  dw_forward_desc forward{};
  forward.size = sizeof(forward);
  forward.model = 7;
  const std::uint32_t desc = guest_.put_struct(forward);
  const std::uint32_t params =
      guest_.put_struct(dw_context_params{.size = sizeof(dw_context_params), .model = 0, .n_ctx = 1, .kv_type = 1});
  for (const std::uint32_t handle : {0U, 1U, 64U, 65U, 0x80000000U, 0xffffffffU}) {
    expect_error("model_close", {handle}, DW_E_INVALID_ARGUMENT, "is not the handle of an open model");
    expect_error("model_is_end", {handle, 0}, DW_E_INVALID_ARGUMENT, "dw_model_is_end");
    expect_error("model_info", {handle, 0}, DW_E_INVALID_ARGUMENT, "dw_model_get_info");
    expect_error("model_tokenize", {handle, 0, 0, 0, 0, 0}, DW_E_INVALID_ARGUMENT, "dw_model_tokenize");
    expect_error("model_detokenize", {handle, 0, 0, 0, 0, 0}, DW_E_INVALID_ARGUMENT, "dw_model_detokenize");
    expect_error("model_chat_template", {handle, 0, 0, 0, 0, 0}, DW_E_INVALID_ARGUMENT, "dw_model_chat_template");
    expect_error("truncate", {handle, 0, 0, 0}, DW_E_INVALID_ARGUMENT, "dw_truncate");
  }
  expect_error("forward", {desc}, DW_E_INVALID_ARGUMENT, "\"model\" of dw_forward (7)");
  expect_error("context_size", {params, params}, DW_E_INVALID_ARGUMENT, "\"model\" of dw_context_size (0)");
}

TEST_F(GuestCalls, NameTheModelsThatWereGranted) {
  const std::uint32_t name = guest_.put_text("oak");
  expect_error("model_open", {name, 3, name + 4}, DW_E_NOT_FOUND,
               "The model \"oak\" was not granted to this program; it may use: apple, bark.");
}

TEST_F(GuestCalls, LogLinesThatCannotSteerATerminal) {
  const std::uint32_t text = guest_.put_text("a\x1b[2Jb\tc\n");
  EXPECT_EQ(guest_.call("log", {DW_LOG_WARNING, text, 9}), DW_OK);
  EXPECT_THAT(lines_, testing::ElementsAre("2:a?[2Jb\tc\n"));
  expect_error("log", {4, text, 1}, DW_E_INVALID_ARGUMENT, "(4) is not one of 0 to 3");
  expect_error("log", {0, 0, DW_MAX_LOG + 1}, DW_E_INVALID_ARGUMENT, "65537 bytes; 65536 are allowed");
}

TEST_F(GuestCalls, GiveTheSentenceInWhatRoomThereIs) {
  EXPECT_EQ(guest_.call("last_error", {0, 0}), 0);
  ASSERT_EQ(guest_.call("model_close", {9}), DW_E_INVALID_ARGUMENT);
  const std::string sentence = guest_.last_error();
  const std::uint32_t buffer = guest_.put_text("........");
  EXPECT_EQ(guest_.call("last_error", {buffer, 4}), static_cast<std::int32_t>(sentence.size()));
  const auto got = guest_.get<char>(buffer, 8);
  EXPECT_EQ(std::string(got.begin(), got.end()), sentence.substr(0, 4) + "....");
}

TEST_F(GuestCalls, OfMessagesAreUnavailableWithoutOne) {
  expect_error("receive", {0, 0}, DW_E_UNAVAILABLE, "dw_receive");
  expect_error("emit", {0, 0}, DW_E_UNAVAILABLE, "dw_emit");
  expect_error("reply", {0, 0}, DW_E_UNAVAILABLE, "dw_reply");
}

TEST_F(GuestCalls, CarryMessagesBothWays) {
  std::string emitted;
  std::string replied;
  guest_.host().set_channel({.message = "ahoy",
                             .emit = [&](std::string_view piece) { emitted += piece; },
                             .reply = [&](std::string_view answer) { replied = answer; }});
  const std::uint32_t buffer = guest_.put_text("......");
  EXPECT_EQ(guest_.call("receive", {buffer, 2}), 4);
  EXPECT_EQ(guest_.call("emit", {buffer, 3}), DW_OK);
  EXPECT_EQ(guest_.call("receive", {buffer, 6}), 4);
  EXPECT_EQ(guest_.call("reply", {buffer, 6}), DW_OK);
  EXPECT_EQ(emitted, "ah.");
  EXPECT_EQ(replied, "ahoy..");
  expect_error("reply", {buffer, 1}, DW_E_INVALID_ARGUMENT, "twice");
  EXPECT_EQ(replied, "ahoy..");
  expect_error("emit", {buffer, 0xffffffff}, DW_E_INVALID_ARGUMENT, "\"bytes\" of dw_emit");
  guest_.host().set_cancelled(true);
  expect_error("emit", {buffer, 1}, DW_E_CANCELLED, "cancelled");
  EXPECT_EQ(emitted, "ah.");
}

TEST(GuestWithoutDevice, IsToldSoInsteadOfComputing) {
  FakeGuest guest;
  EXPECT_EQ(guest.call("tensor_run", {0, 0, 0, 0}), DW_E_UNAVAILABLE);
  EXPECT_THAT(guest.last_error(), HasSubstr("no device"));
}

TEST(GuestWithoutMemory, GetsErrorsForEveryPointer) {
  GuestHost host{GuestHostOptions{}};
  for (const HostFunction& function : guest_abi_functions()) {
    std::vector<wasmtime_val_raw_t> slots(8);
    for (auto& slot : slots) slot.i32 = 4;
    function.callback(&host, slots.data());
    if (function.name == "abi_version") continue;
    EXPECT_LT(slots[0].i32, 0) << function.name;
  }
}

}  // namespace
}  // namespace driftwood
