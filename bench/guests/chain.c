/* The guest of the benchmark chain: calls into the host, and products of matrices in its own linear memory. */
#include "driftwood.h"

#ifndef N
#define N 128
#endif
/* Calls for a product: one may take so much work and no more. */
#ifndef CHAIN_PARTS
#define CHAIN_PARTS 1
#endif
/* Rows and columns of the product between those that are checked: enough of it in a moment. */
#define STEP (N / 64 - 1)
#define PAGE 65536

static float a[N * N] __attribute__((aligned(PAGE)));
static float b[N * N] __attribute__((aligned(PAGE)));
static float c[N * N] __attribute__((aligned(PAGE)));
static dw_info info = {.size = sizeof(dw_info)};

/* c = b * transposed a, as DW_OP_MATMUL defines it. */
#define ROWS (N / CHAIN_PARTS)
static dw_tensor tensors[3] = {
    {.data = a, .type = DW_TYPE_F32, .ne = {N, N, 1, 1}},
    {.type = DW_TYPE_F32, .ne = {N, ROWS, 1, 1}},
    {.type = DW_TYPE_F32, .ne = {N, ROWS, 1, 1}},
};
static const dw_op ops[1] = {
    {.op = DW_OP_MATMUL, .dst = 2, .src = {0, 1, DW_NO_TENSOR, DW_NO_TENSOR}},
};

/* Small whole numbers: every sum is exact in f32, in whatever order it is made. c is spoilt. */
DW_EXPORT("fill") void fill(void) {
  for (int row = 0; row < N; ++row) {
    for (int k = 0; k < N; ++k) {
      a[row * N + k] = (float)((row * 7 + k * 3) % 17 - 8);
      b[row * N + k] = (float)((row * 5 + k * 11) % 13 - 6);
      c[row * N + k] = -1e9f;
    }
  }
}

/* 0, or the first error. */
DW_EXPORT("gemms") int32_t gemms(int32_t count) {
  for (int32_t i = 0; i < count * CHAIN_PARTS; ++i) {
    tensors[1].data = b + i % CHAIN_PARTS * ROWS * N;
    tensors[2].data = c + i % CHAIN_PARTS * ROWS * N;
    const int32_t status = dw_tensor_run(tensors, 3, ops, 1);
    if (status < 0) return status;
  }
  return 0;
}

/* Elements of c that are not what they should be, of those that are looked at. */
DW_EXPORT("errors") int32_t errors(void) {
  int32_t wrong = 0;
  for (int j = 0; j < N; j += STEP) {
    for (int i = 0; i < N; i += STEP) {
      float sum = 0;
      for (int k = 0; k < N; ++k) sum += a[i * N + k] * b[j * N + k];
      wrong += c[j * N + i] != sum;
    }
  }
  return wrong;
}

/* The sum of what `count` calls without arguments gave. */
DW_EXPORT("host_calls") int32_t host_calls(int32_t count) {
  int32_t sum = 0;
  for (int32_t i = 0; i < count; ++i) sum += dw_abi_version();
  return sum;
}

/* How many of `count` calls that check a pointer and write a struct through it succeeded. */
DW_EXPORT("info_calls") int32_t info_calls(int32_t count) {
  int32_t succeeded = 0;
  for (int32_t i = 0; i < count; ++i) succeeded += dw_get_info(&info) == DW_OK;
  return succeeded;
}

DW_EXPORT("address_of_a") int32_t address_of_a(void) { return (int32_t)(uintptr_t)a; }
DW_EXPORT("address_of_b") int32_t address_of_b(void) { return (int32_t)(uintptr_t)b; }
DW_EXPORT("address_of_c") int32_t address_of_c(void) { return (int32_t)(uintptr_t)c; }
