// Runs CUDA kernels on the host, one block after another, a block's threads as coroutines of one thread: so that what
// they compute is tested where there is no GPU.
//
// What a kernel may use is below: no more of CUDA than the kernels of src/device/cuda do. All threads of a warp must
// meet at its shuffles and products, and all of a block at its barriers, as on the hardware.
#pragma once

#include <ggml.h>
#include <ucontext.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <stdexcept>
#include <vector>

#define __global__
#define __device__
#define __shared__ static
#define __launch_bounds__(...)
#define DW_UNROLL
#define DW_UNROLL_8

struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};
struct uint2 {
  std::uint32_t x, y;
};
struct alignas(16) uint4 {
  std::uint32_t x, y, z, w;
};
inline uint4 make_uint4(std::uint32_t x, std::uint32_t y, std::uint32_t z, std::uint32_t w) { return {x, y, z, w}; }

namespace driftwood::cuda::emulation {

inline constexpr int kLanes = 32;
inline constexpr std::size_t kStackBytes = 128 * 1024;

/// The threads of the block that runs.
class Block {
 public:
  static Block& current() {
    static Block block;
    return block;
  }

  void run(int threads, const std::function<void()>& kernel) {
    kernel_ = &kernel;
    threads_.resize(static_cast<std::size_t>(threads));
    arrived_ = 0;
    generation_ = 0;
    live_ = threads;
    warps_.assign(static_cast<std::size_t>((threads + kLanes - 1) / kLanes), Warp{});
    for (auto& thread : threads_) {
      if (thread.stack == nullptr) thread.stack = std::make_unique<char[]>(kStackBytes);
      thread.done = false;
      getcontext(&thread.context);
      thread.context.uc_stack.ss_sp = thread.stack.get();
      thread.context.uc_stack.ss_size = kStackBytes;
      thread.context.uc_link = &scheduler_;
      makecontext(&thread.context, &Block::enter, 0);
    }
    // A round in which no thread gets any further means that they wait for ones that are gone.
    while (live_ > 0) {
      const std::uint64_t before = progress_;
      for (now_ = 0; now_ < threads; ++now_) {
        if (!threads_[static_cast<std::size_t>(now_)].done)
          swapcontext(&scheduler_, &threads_[static_cast<std::size_t>(now_)].context);
      }
      if (progress_ == before) throw std::runtime_error("The threads of a block wait for each other.");
    }
  }

  int thread() const { return now_; }

  void barrier() {
    const std::uint64_t mine = generation_;
    ++progress_;
    if (++arrived_ == live_) {
      arrived_ = 0;
      ++generation_;
    }
    while (generation_ == mine) yield();
  }

  /// Each thread of a warp gives a value and gets all 32.
  template <typename Value>
  std::array<Value, kLanes> exchange(const Value& value) {
    static_assert(sizeof(Value) <= sizeof(Slot));
    Warp& warp = warps_[static_cast<std::size_t>(now_ / kLanes)];
    const int lane = now_ % kLanes;
    const std::uint64_t mine = warp.generation;
    auto& slots = warp.slots[mine % 2];
    std::memcpy(&slots[static_cast<std::size_t>(lane)], &value, sizeof(Value));
    ++progress_;
    if (++warp.arrived == kLanes) {
      warp.arrived = 0;
      ++warp.generation;
    }
    while (warp.generation == mine) yield();
    std::array<Value, kLanes> values;
    for (int i = 0; i < kLanes; ++i)
      std::memcpy(&values[static_cast<std::size_t>(i)], &slots[static_cast<std::size_t>(i)], sizeof(Value));
    return values;
  }

 private:
  struct Slot {
    std::array<std::uint32_t, 8> words;
  };
  struct Warp {
    std::array<std::array<Slot, kLanes>, 2> slots{};
    std::uint64_t generation = 0;
    int arrived = 0;
  };
  struct Thread {
    ucontext_t context;
    std::unique_ptr<char[]> stack;
    bool done = false;
  };

  static void enter() {
    Block& block = current();
    const auto self = static_cast<std::size_t>(block.now_);
    (*block.kernel_)();
    block.threads_[self].done = true;
    ++block.progress_;
    --block.live_;
  }

  void yield() {
    const int self = now_;
    swapcontext(&threads_[static_cast<std::size_t>(self)].context, &scheduler_);
  }

  const std::function<void()>* kernel_ = nullptr;
  std::vector<Thread> threads_;
  std::vector<Warp> warps_;
  ucontext_t scheduler_{};
  int now_ = 0;
  int live_ = 0;
  int arrived_ = 0;
  std::uint64_t generation_ = 0;
  std::uint64_t progress_ = 0;
};

struct ThreadIndex {
  operator dim3() const { return dim3(static_cast<unsigned>(Block::current().thread()), 0, 0); }
};
inline dim3 block_index;
inline dim3 grid_size;

/// Runs a kernel over its grid.
template <typename... Parameters, typename... Arguments>
void launch(void (*kernel)(Parameters...), dim3 grid, int threads, Arguments... arguments) {
  grid_size = grid;
  const std::function<void()> body = [&] { kernel(arguments...); };
  for (block_index.z = 0; block_index.z < grid.z; ++block_index.z) {
    for (block_index.y = 0; block_index.y < grid.y; ++block_index.y) {
      for (block_index.x = 0; block_index.x < grid.x; ++block_index.x) Block::current().run(threads, body);
    }
  }
}

}  // namespace driftwood::cuda::emulation

#define threadIdx (static_cast<dim3>(::driftwood::cuda::emulation::ThreadIndex{}))
#define blockIdx (::driftwood::cuda::emulation::block_index)
#define gridDim (::driftwood::cuda::emulation::grid_size)

inline void __syncthreads() { driftwood::cuda::emulation::Block::current().barrier(); }
inline void __threadfence() {}
template <typename Value>
Value __shfl_xor_sync(unsigned, Value value, int mask) {
  auto& block = driftwood::cuda::emulation::Block::current();
  return block.exchange(value)[static_cast<std::size_t>((block.thread() % 32) ^ mask)];
}
inline unsigned atomicAdd(unsigned* at, unsigned value) {
  const unsigned before = *at;
  *at += value;
  return before;
}
inline float rsqrtf(float value) { return 1.0F / std::sqrt(value); }
inline std::uint32_t __float_as_uint(float value) {
  std::uint32_t bits;
  std::memcpy(&bits, &value, sizeof(bits));
  return bits;
}
inline float __uint_as_float(std::uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof(value));
  return value;
}

namespace driftwood::cuda {

using ::cosf;
using ::expf;
using ::fmaxf;
using ::sinf;

inline std::uint16_t to_half(float value) {
  return ggml_fp32_to_fp16(std::fmin(std::fmax(value, -65504.0F), 65504.0F));
}
inline float to_float(std::uint16_t half) { return ggml_fp16_to_fp32(half); }

inline std::uint32_t sub_mul(std::uint32_t a, std::uint32_t minus, std::uint32_t times) {
  const auto one = [](std::uint32_t x, std::uint32_t y, std::uint32_t z) {
    const float difference =
        to_float(to_half(to_float(static_cast<std::uint16_t>(x)) - to_float(static_cast<std::uint16_t>(y))));
    return std::uint32_t{to_half(difference * to_float(static_cast<std::uint16_t>(z)))};
  };
  return one(a & 0xffff, minus & 0xffff, times & 0xffff) | one(a >> 16, minus >> 16, times >> 16) << 16;
}

inline std::uint32_t permute_bytes(std::uint32_t low, std::uint32_t high, std::uint32_t selector) {
  const std::uint64_t bytes = std::uint64_t{high} << 32 | low;
  std::uint32_t result = 0;
  for (int i = 0; i < 4; ++i)
    result |= static_cast<std::uint32_t>(bytes >> (8 * ((selector >> (4 * i)) & 7)) & 0xff) << (8 * i);
  return result;
}

/// m16n8k16, the fragments as the PTX manual has them.
inline void multiply_add(float (&c)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1) {
  struct Fragments {
    std::uint32_t a[4], b[2];
  };
  auto& block = emulation::Block::current();
  const auto all = block.exchange(Fragments{{a[0], a[1], a[2], a[3]}, {b0, b1}});
  const int lane = block.thread() % 32;
  const auto half = [](std::uint32_t word, int low) {
    return to_float(static_cast<std::uint16_t>(low == 0 ? word : word >> 16));
  };
  for (int i = 0; i < 4; ++i) {
    const int row = lane / 4 + i / 2 * 8;
    const int column = lane % 4 * 2 + i % 2;
    for (int k = 0; k < 16; ++k) {
      const int t = k % 8 / 2;
      const float x = half(all[static_cast<std::size_t>(row % 8 * 4 + t)].a[k / 8 * 2 + row / 8], k % 2);
      const float y = half(all[static_cast<std::size_t>(column * 4 + t)].b[k / 8], k % 2);
      c[i] += x * y;
    }
  }
}

inline void wait_for_previous() {}
inline void let_next_begin() {}
inline void fetch_ahead(const void*, std::uint32_t) {}
inline uint4 load_stream(const void* at) {
  uint4 value;
  std::memcpy(&value, at, sizeof(value));
  return value;
}

}  // namespace driftwood::cuda
