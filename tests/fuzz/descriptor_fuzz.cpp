// Every host call with arguments and a linear memory of anybody's choosing.
//
// One byte picks the call, the next how the rest is read. Raw: seven arguments, then
// what linear memory begins with. Lists: small numbers for tensors and ops that have a
// chance to be right, so that what passes the checks is computed, too; ggml ends the
// process where one of its own checks fails, which is a finding. A Forward descriptor
// is checked against a made-up vocabulary, since no model is loaded here.
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#include "device/device.hpp"
#include "hostcalls/guest_abi.hpp"
#include "hostcalls/guest_host.hpp"
#include "hostcalls/llm_check.hpp"

namespace {

using namespace driftwood;

constexpr std::size_t kMemory = 256 * kKiB;

class Bytes {
 public:
  Bytes(const std::uint8_t* data, std::size_t size) : left_(data, size) {}
  std::uint8_t byte() {
    if (left_.empty()) return 0;
    const std::uint8_t first = left_.front();
    left_ = left_.subspan(1);
    return first;
  }
  std::uint32_t word() {
    std::uint32_t value = 0;
    for (int i = 0; i < 4; ++i) value = value << 8 | byte();
    return value;
  }
  template <typename T, std::size_t N>
  T pick(const T (&choices)[N]) {
    return choices[byte() % N];
  }
  std::span<const std::uint8_t> rest() const { return left_; }

 private:
  std::span<const std::uint8_t> left_;
};

struct Guest {
  Guest() {
    GuestHostOptions options;
    options.device = device.get();
    options.grants.models = {"granted"};
    options.grants.show_addresses = true;
    options.log = [](std::uint32_t, std::string_view) {};
    host = std::make_unique<GuestHost>(std::move(options));
    host->attach(*memory);
  }
  ~Guest() { host->drop_caches(); }

  std::unique_ptr<Device> device = open_device("cpu", {.threads = 1}).value();
  std::unique_ptr<Region> memory = Region::create({.reserve = kMemory, .commit = kMemory, .guard = 0}).value();
  std::unique_ptr<GuestHost> host;
};

float pick_float(Bytes& bytes) {
  static constexpr float kFloats[] = {0.0F, 1.0F, 1e-5F, 10000.0F, -1.0F, 3e38F, NAN, INFINITY};
  return bytes.pick(kFloats);
}

// A list of up to 8 tensors and 6 ops, at the beginning of memory; fills the call's arguments.
void make_list(Bytes& bytes, std::byte* memory, wasmtime_val_raw_t* slots) {
  static constexpr std::uint32_t kTypes[] = {DW_TYPE_F32, DW_TYPE_F32,  DW_TYPE_F32,  DW_TYPE_F16,  DW_TYPE_F16,
                                             DW_TYPE_I32, DW_TYPE_Q4_0, DW_TYPE_Q8_0, DW_TYPE_Q4_K, DW_TYPE_Q6_K};
  static constexpr std::uint32_t kSizes[] = {1, 1, 1, 2, 3, 4, 7, 16, 32, 33, 64, 256, 512, 600};
  const std::uint32_t n_tensors = bytes.byte() % 8 + 1;
  const std::uint32_t n_ops = bytes.byte() % 6 + 1;
  std::size_t at = 0;
  for (std::uint32_t t = 0; t < n_tensors; ++t, at += sizeof(dw_tensor)) {
    dw_tensor tensor{};
    tensor.data = 4096 + bytes.byte() * 992U;
    tensor.type = bytes.pick(kTypes);
    for (std::uint32_t& size : tensor.ne) size = bytes.pick(kSizes);
    if (bytes.byte() % 4 == 0) {
      for (std::uint32_t& stride : tensor.nb) stride = bytes.pick(kSizes) * (bytes.byte() % 64U);
      tensor.nb[0] = bytes.byte() % 8 == 0 ? tensor.nb[0] : tensor.type == DW_TYPE_F16 ? 2 : 4;
    }
    std::memcpy(memory + at, &tensor, sizeof(tensor));
  }
  slots[0].i32 = 0;
  slots[1].i32 = static_cast<std::int32_t>(n_tensors);
  slots[2].i32 = static_cast<std::int32_t>(at);
  slots[3].i32 = static_cast<std::int32_t>(n_ops);
  for (std::uint32_t o = 0; o < n_ops; ++o, at += sizeof(dw_op)) {
    dw_op op{};
    op.op = bytes.byte() % 14U;
    op.dst = bytes.byte() % (n_tensors + 1);
    const std::uint8_t used = bytes.byte() % 5;
    for (std::uint8_t s = 0; s < 4; ++s) op.src[s] = s < used ? bytes.byte() % (n_tensors + 1) : DW_NO_TENSOR;
    if (op.op == DW_OP_ROPE) {
      op.i[0] = bytes.byte();
      op.i[1] = bytes.byte() % 4;
    }
    op.f[0] = pick_float(bytes);
    op.f[1] = pick_float(bytes);
    std::memcpy(memory + at, &op, sizeof(op));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static Guest guest;
  std::byte* const memory = guest.memory->data();
  std::memset(memory, 0, kMemory);
  Bytes bytes(data, size);

  const std::span<const HostFunction> functions = guest_abi_functions();
  const HostFunction* function = &functions[bytes.byte() % functions.size()];
  const std::uint8_t mode = bytes.byte();
  wasmtime_val_raw_t slots[8] = {};
  if (mode % 2 == 0) {
    function = &*std::find_if(functions.begin(), functions.end(), [](auto& f) { return f.name == "tensor_run"; });
    make_list(bytes, memory, slots);
    // What is left becomes the tensors' data, again and again.
    const auto rest = bytes.rest();
    for (std::size_t i = 4096; !rest.empty() && i < kMemory; ++i) memory[i] = std::byte{rest[i % rest.size()]};
  } else {
    for (int i = 0; i < 7; ++i) slots[i].i32 = static_cast<std::int32_t>(bytes.word());
    const auto rest = bytes.rest().first(std::min(bytes.rest().size(), kMemory));
    if (!rest.empty()) std::memcpy(memory, rest.data(), rest.size());
  }

  std::string sink;
  if (mode & 2) {
    guest.host->set_channel({.message = "message",
                             .emit = [&](std::string_view piece) { sink = piece; },
                             .reply = [&](std::string_view answer) { sink = answer; }});
  }
  guest.host->set_cancelled((mode & 4) != 0);
  const auto argument = static_cast<std::uint32_t>(slots[0].i32);
  function->callback(guest.host.get(), slots);
  guest.host->set_channel({});

  const GuestMemory view(memory, kMemory);
  if (const auto desc = read_forward(view, argument)) (void)check_forward(view, *desc, 100);
  (void)check_context_params(view, "dw_context_size", argument);
  return 0;
}
