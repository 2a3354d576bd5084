// Every host call with arguments and a linear memory of anybody's choosing.
//
// One byte picks the call, the next how the rest is read. Raw: seven arguments, then what
// linear memory begins with. Lists: tensors and ops that fit, but for a change here and
// there, so that what passes the checks is computed, too; ggml ends the process where one
// of its own checks fails, which is a finding. A Forward descriptor is checked against a
// made-up vocabulary, since no model is loaded here.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#include "device/device.hpp"
#include "hostcalls/guest_abi.hpp"
#include "hostcalls/guest_host.hpp"
#include "hostcalls/llm_check.hpp"
#include "hostcalls/tensor_check.hpp"

namespace {

using namespace driftwood;

constexpr std::size_t kMemory = kMiB;
constexpr std::uint32_t kData = 4096;  ///< where the tensors of a list begin

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
    options.grants.max_forks = 64;
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
  static constexpr float kFloats[] = {1.0F,  1.0F, 0.5F,  1.0F,  10000.0F, 0.125F,  1.0F,
                                      1e-5F, 0.0F, -1.0F, 3e38F, NAN,      INFINITY};
  return bytes.pick(kFloats);
}

// Records that fit, but for a change here and there: most of what passes the checks is
// near what fits, and that is what must be safe to compute.
class ListMaker {
 public:
  explicit ListMaker(Bytes& bytes) : bytes_(bytes) {}

  void add_op() {
    const std::uint32_t kind = bytes_.byte() % 12U + 1;
    const std::uint32_t d = bytes_.pick(kRows), m = size(), n = size(), heads = bytes_.byte() % 3U + 1,
                        b = size() % 3 + 1;
    const std::uint32_t plain = bytes_.byte() % 4U != 3 ? DW_TYPE_F32 : DW_TYPE_F16;
    const std::uint32_t weight = bytes_.pick(kWeights);
    dw_op op{};
    op.op = kind;
    std::fill(std::begin(op.src), std::end(op.src), DW_NO_TENSOR);
    op.f[0] = pick_float(bytes_);
    switch (kind) {
      case DW_OP_MATMUL:
        op.src[0] = add(weight, d, m, b, 1);
        op.src[1] = add(weight == DW_TYPE_F16 ? plain : DW_TYPE_F32, d, n, b * heads, 1);
        op.dst = add(DW_TYPE_F32, m, n, b * heads, 1);
        op.f[0] = 0;
        break;
      case DW_OP_ADD:
      case DW_OP_MUL:
        op.src[0] = add(plain, d, m * heads, n, 1);
        op.src[1] = add(DW_TYPE_F32, bytes_.byte() % 2U == 0 ? d : 1, m, 1, 1);
        op.dst = in_place_or(op.src[0]);
        op.f[0] = 0;
        break;
      case DW_OP_ROPE:
        op.src[0] = add(plain, d, heads, n, b);
        op.src[1] = add(DW_TYPE_I32, n, 1, 1, 1);
        op.dst = in_place_or(op.src[0]);
        op.i[0] = static_cast<std::int32_t>(bytes_.byte() % 2U == 0 ? d : bytes_.byte());
        op.i[1] = bytes_.byte() % 8U < 7 ? DW_ROPE_NEOX * (bytes_.byte() % 2) : bytes_.byte();
        op.f[1] = pick_float(bytes_);
        break;
      case DW_OP_SOFT_MAX:
        op.src[0] = add(DW_TYPE_F32, d, m, n * heads, b);
        if (bytes_.byte() % 2U == 0) op.src[1] = add(DW_TYPE_F32, d, m, n, 1);
        op.dst = in_place_or(op.src[0]);
        break;
      case DW_OP_GET_ROWS:
        op.src[0] = add(weight, d, m, b, 1);
        op.src[1] = add(DW_TYPE_I32, n, b, 1, 1);
        op.dst = add(DW_TYPE_F32, d, n, b, 1);
        op.f[0] = 0;
        break;
      case DW_OP_ATTENTION:
        op.src[0] = add(DW_TYPE_F32, d, n, heads * b, 1);
        op.src[1] = add(plain, d, m, b, 1);
        op.src[2] = add(plain, d, m, b, 1);
        if (bytes_.byte() % 2U == 0) op.src[3] = add(DW_TYPE_F16, m, n, 1, 1);
        op.dst = add(DW_TYPE_F32, d, heads * b, n, 1);
        op.f[1] = pick_float(bytes_);
        break;
      default:
        op.src[0] = add(plain, d, m, n, b);
        op.dst = kind == DW_OP_CPY ? add(bytes_.byte() % 2U == 0 ? DW_TYPE_F32 : DW_TYPE_F16, d, m, n, b)
                                   : in_place_or(op.src[0]);
        if (kind == DW_OP_SCALE) op.f[1] = pick_float(bytes_);
        if (kind == DW_OP_SILU || kind == DW_OP_GELU || kind == DW_OP_CPY) op.f[0] = 0;
    }
    if (bytes_.byte() % 16U == 15)
      reinterpret_cast<std::uint32_t*>(&op)[bytes_.byte() % (sizeof(op) / 4)] = bytes_.byte();
    ops_.push_back(op);
  }

  // Writes the records to the beginning of memory and fills the call's arguments.
  void finish(std::byte* memory, wasmtime_val_raw_t* slots) const {
    const std::size_t ops_at = tensors_.size() * sizeof(dw_tensor);
    std::memcpy(memory, tensors_.data(), ops_at);
    std::memcpy(memory + ops_at, ops_.data(), ops_.size() * sizeof(dw_op));
    slots[0].i32 = 0;
    slots[1].i32 = static_cast<std::int32_t>(tensors_.size());
    slots[2].i32 = static_cast<std::int32_t>(ops_at);
    slots[3].i32 = static_cast<std::int32_t>(ops_.size());
  }

 private:
  static constexpr std::uint32_t kRows[] = {256, 64, 32, 512, 80, 2, 1, 7, 33};
  static constexpr std::uint32_t kSizes[] = {1, 1, 2, 3, 4, 7, 16, 33, 65, 70};
  static constexpr std::uint32_t kWeights[] = {DW_TYPE_F32,  DW_TYPE_F16,  DW_TYPE_Q4_0, DW_TYPE_Q4_1,
                                               DW_TYPE_Q5_0, DW_TYPE_Q5_1, DW_TYPE_Q8_0, DW_TYPE_Q2_K,
                                               DW_TYPE_Q3_K, DW_TYPE_Q4_K, DW_TYPE_Q5_K, DW_TYPE_Q6_K};

  std::uint32_t size() { return bytes_.pick(kSizes); }

  std::uint32_t add(std::uint32_t type, std::uint32_t ne0, std::uint32_t ne1, std::uint32_t ne2, std::uint32_t ne3) {
    dw_tensor tensor{};
    tensor.data = next_;
    tensor.type = type;
    const std::uint32_t ne[] = {ne0, ne1, ne2, ne3};
    std::copy(std::begin(ne), std::end(ne), tensor.ne);
    const TypeLayout layout = type_layout(type).value_or(TypeLayout{"", 1, 4});
    const std::uint32_t row = (ne0 + layout.block_elements - 1) / layout.block_elements * layout.block_bytes;
    std::uint32_t bytes = row * ne1 * ne2 * ne3;
    switch (bytes_.byte() % 8U) {
      case 1: {  // rows with gaps between them
        const std::uint32_t wide = row + layout.block_bytes * (bytes_.byte() % 4U);
        const std::uint32_t nb[] = {layout.block_bytes, wide, wide * ne1, wide * ne1 * ne2};
        std::copy(std::begin(nb), std::end(nb), tensor.nb);
        bytes = wide * ne1 * ne2 * ne3;
        break;
      }
      case 2: {  // dimensions 1 and 2 exchanged
        const std::uint32_t nb[] = {layout.block_bytes, row * ne2, row, row * ne1 * ne2};
        std::copy(std::begin(nb), std::end(nb), tensor.nb);
        break;
      }
      default: break;
    }
    next_ = static_cast<std::uint32_t>(align_up(next_ + bytes, 32));
    if (bytes_.byte() % 32U == 31) {
      reinterpret_cast<std::uint32_t*>(&tensor)[bytes_.byte() % (sizeof(tensor) / 4)] = bytes_.byte();
    }
    tensors_.push_back(tensor);
    return static_cast<std::uint32_t>(tensors_.size() - 1);
  }

  std::uint32_t in_place_or(std::uint32_t src) {
    if (bytes_.byte() % 2U == 0) return src;
    const dw_tensor like = tensors_[src];
    return add(like.type, like.ne[0], like.ne[1], like.ne[2], like.ne[3]);
  }

  Bytes& bytes_;
  std::vector<dw_tensor> tensors_;
  std::vector<dw_op> ops_;
  std::uint32_t next_ = kData;
};

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
    ListMaker list(bytes);
    for (int n = bytes.byte() % 4; n >= 0; --n) list.add_op();
    list.finish(memory, slots);
    // What is left becomes the tensors' data; without it they are zeros, which are row indices that fit.
    const auto rest = bytes.rest();
    for (std::size_t at = kData; !rest.empty() && at < kMemory; at += rest.size()) {
      std::memcpy(memory + at, rest.data(), std::min(rest.size(), kMemory - at));
    }
  } else {
    for (int i = 0; i < 7; ++i) slots[i].i32 = static_cast<std::int32_t>(bytes.word());
    const auto rest = bytes.rest().first(std::min(bytes.rest().size(), kMemory));
    if (!rest.empty()) std::memcpy(memory, rest.data(), rest.size());
  }

  std::string sink;
  if (mode & 2) {
    guest.host->set_channel({.message = "message",
                             .emit = [&](std::string_view piece) { sink = piece; },
                             .reply = [&](std::string_view answer) { sink = answer; },
                             .send = [&](ActorId, std::string_view text) -> Result<void> {
                               sink = text;
                               return {};
                             },
                             .reserve_children = [](std::uint32_t) -> Result<ActorId> { return 7; },
                             .keeps_checkpoints = true});
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
