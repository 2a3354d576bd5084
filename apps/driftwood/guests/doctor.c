/* The guest of `driftwood doctor`: matrices in its own linear memory, multiplied by the device where they lie. */
#include "driftwood.h"

#define N 128
#define PAGE 65536

static float a[N * N] __attribute__((aligned(PAGE)));
static float b[N * N] __attribute__((aligned(PAGE)));
static float c[N * N] __attribute__((aligned(PAGE)));
static dw_info info = {.size = sizeof(dw_info)};

/* c = b * transposed a, as DW_OP_MATMUL defines it. */
static const dw_tensor tensors[3] = {
    {.data = a, .type = DW_TYPE_F32, .ne = {N, N, 1, 1}},
    {.data = b, .type = DW_TYPE_F32, .ne = {N, N, 1, 1}},
    {.data = c, .type = DW_TYPE_F32, .ne = {N, N, 1, 1}},
};
static const dw_op ops[1] = {
    {.op = DW_OP_MATMUL, .dst = 2, .src = {0, 1, DW_NO_TENSOR, DW_NO_TENSOR}},
};

/* Small whole numbers: every sum is exact in f32, in whatever order it is made. */
DW_EXPORT("fill") void fill(void) {
  for (int row = 0; row < N; ++row) {
    for (int k = 0; k < N; ++k) {
      a[row * N + k] = (float)((row * 7 + k * 3) % 17 - 8);
      b[row * N + k] = (float)((row * 5 + k * 11) % 13 - 6);
      c[row * N + k] = -1e9f;
    }
  }
}

DW_EXPORT("gemm") int32_t gemm(void) { return dw_tensor_run(tensors, 3, ops, 1); }

/* Elements of c that are not what they should be. */
DW_EXPORT("errors") int32_t errors(void) {
  int32_t wrong = 0;
  for (int j = 0; j < N; ++j) {
    for (int i = 0; i < N; ++i) {
      float sum = 0;
      for (int k = 0; k < N; ++k) sum += a[i * N + k] * b[j * N + k];
      wrong += c[j * N + i] != sum;
    }
  }
  return wrong;
}

DW_EXPORT("host_calls") int32_t host_calls(int32_t count) {
  int32_t sum = 0;
  for (int32_t i = 0; i < count; ++i) sum += dw_abi_version();
  return sum;
}

DW_EXPORT("address_of_a") int32_t address_of_a(void) { return (int32_t)(uintptr_t)a; }
DW_EXPORT("address_of_b") int32_t address_of_b(void) { return (int32_t)(uintptr_t)b; }
DW_EXPORT("address_of_c") int32_t address_of_c(void) { return (int32_t)(uintptr_t)c; }

/* The address of a dw_info, or a negative error. */
DW_EXPORT("get_info") int32_t get_info(void) {
  const int32_t status = dw_get_info(&info);
  return status < 0 ? status : (int32_t)(uintptr_t)&info;
}

DW_EXPORT("load") int32_t load(int32_t address) { return *(const volatile int32_t*)(uintptr_t)address; }
DW_EXPORT("store") void store(int32_t address, int32_t value) { *(volatile int32_t*)(uintptr_t)address = value; }
/* Pages of linear memory before it grew, or -1. */
DW_EXPORT("grow") int32_t grow(int32_t pages) { return (int32_t)__builtin_wasm_memory_grow(0, (size_t)pages); }
