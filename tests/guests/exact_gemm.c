/* A 128 x 128 matrix product by the host, against plain loops in the guest. The
 * numbers are whole and small, so that both are exact. */
#include <driftwood.h>

#define N 128

static _Alignas(64) float a[N * N], b[N * N], product[N * N];

DW_EXPORT("gemm_errors") int32_t gemm_errors(void) {
  for (int i = 0; i < N * N; ++i) {
    a[i] = (float)(i * 7 % 13) - 6.0f;
    b[i] = (float)(i * 5 % 11) - 5.0f;
  }
  const dw_tensor tensors[] = {
      {.data = a, .type = DW_TYPE_F32, .ne = {N, N, 1, 1}},
      {.data = b, .type = DW_TYPE_F32, .ne = {N, N, 1, 1}},
      {.data = product, .type = DW_TYPE_F32, .ne = {N, N, 1, 1}},
  };
  const dw_op op = {.op = DW_OP_MATMUL, .dst = 2, .src = {0, 1, DW_NO_TENSOR, DW_NO_TENSOR}};
  const int32_t status = dw_tensor_run(tensors, 3, &op, 1);
  if (status < 0) return status;
  int32_t errors = 0;
  for (int j = 0; j < N; ++j) {
    for (int i = 0; i < N; ++i) {
      float sum = 0;
      for (int k = 0; k < N; ++k) sum += a[i * N + k] * b[j * N + k];
      errors += sum != product[j * N + i];
    }
  }
  return errors;
}
