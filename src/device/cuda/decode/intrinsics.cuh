// What the kernels of this folder need of the hardware, in one place: half numbers in
// pairs, the tensor cores' product, and how one kernel follows the other.
//
// Built by another compiler than CUDA's, the same kernels run on the host, thread by
// thread (emulation.hpp of the tests): so they are tested where there is no GPU.
#pragma once

#ifdef __CUDACC__
#include <cuda_fp16.h>

#define DW_UNROLL _Pragma("unroll")
#define DW_UNROLL_8 _Pragma("unroll 8")
#else
#include "support/cuda_emulation.hpp"
#endif

#include <cstddef>
#include <cstdint>

namespace driftwood::cuda {

inline constexpr int kWarp = 32;  ///< threads
inline constexpr unsigned kAllLanes = 0xffffffff;
inline constexpr float kMaxHalf = 65504.0F;

/// Two halves in a word, the first one in the low bits.
using Half2 = std::uint32_t;

#ifdef __CUDACC__

__device__ inline Half2 sub_mul(Half2 a, Half2 minus, Half2 times) {
  Half2 result;
  asm("{ .reg .b32 d; sub.f16x2 d, %1, %2; mul.f16x2 %0, d, %3; }" : "=r"(result) : "r"(a), "r"(minus), "r"(times));
  return result;
}

__device__ inline std::uint16_t to_half(float value) {
  return __half_as_ushort(__float2half_rn(fminf(fmaxf(value, -kMaxHalf), kMaxHalf)));
}

__device__ inline float to_float(std::uint16_t half) { return __half2float(__ushort_as_half(half)); }

/// Bytes of {low, high} by the selector's four digits, each 0 to 7.
__device__ inline std::uint32_t permute_bytes(std::uint32_t low, std::uint32_t high, std::uint32_t selector) {
  return __byte_perm(low, high, selector);
}

/// c += a x b: m16n8k16, halves in, floats out; the fragments as PTX has them for mma.sync.
__device__ inline void multiply_add(float (&c)[4], const Half2 (&a)[4], Half2 b0, Half2 b1) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

/// A kernel that was launched to overlap the end of the one before it: nothing that the other wrote may be read
/// before this.
__device__ inline void wait_for_previous() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}
/// The next kernel may begin to fetch what does not depend on this one.
__device__ inline void let_next_begin() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}
/// Brings bytes into the second cache level; `size` a multiple of 16. By one thread.
__device__ inline void fetch_ahead(const void* at, std::uint32_t size) {
#if __CUDA_ARCH__ >= 900
  asm volatile("cp.async.bulk.prefetch.L2.global [%0], %1;" ::"l"(__cvta_generic_to_global(at)), "r"(size) : "memory");
#endif
}

/// What no kernel writes, read once: the first cache level is left to others. May be loaded before wait_for_previous().
__device__ inline uint4 load_stream(const void* at) {
  uint4 v;
  asm("ld.global.nc.L1::no_allocate.v4.u32 {%0,%1,%2,%3}, [%4];"
      : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
      : "l"(__cvta_generic_to_global(at)));
  return v;
}

#endif

/// The same half twice.
__device__ inline Half2 twice(std::uint16_t half) { return half | std::uint32_t{half} << 16; }

}  // namespace driftwood::cuda
