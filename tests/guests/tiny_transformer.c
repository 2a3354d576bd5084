/* A transformer of one layer that a guest defines itself by tensor ops. The weights
 * lie one after another in `weights`, so that a test can read them from outside. */
#include <driftwood.h>

enum { TOKENS = 6, EMBD = 64, HEADS = 4, KV_HEADS = 2, HEAD = 16, KV = KV_HEADS * HEAD, FF = 96, VOCAB = 50 };
enum {
  EMBEDDING = 0,
  NORM1 = EMBEDDING + VOCAB * EMBD,
  WQ = NORM1 + EMBD,
  WK = WQ + EMBD * EMBD,
  WV = WK + EMBD * KV,
  WO = WV + EMBD * KV,
  NORM2 = WO + EMBD * EMBD,
  WGATE = NORM2 + EMBD,
  WUP = WGATE + EMBD * FF,
  WDOWN = WUP + EMBD * FF,
  NORM3 = WDOWN + FF * EMBD,
  N_WEIGHTS = NORM3 + EMBD
};

static _Alignas(64) float weights[N_WEIGHTS];
static _Alignas(64) int32_t tokens[TOKENS], positions[TOKENS];
static _Alignas(64) float x[TOKENS * EMBD], h[TOKENS * EMBD], q[TOKENS * EMBD], k[TOKENS * KV], v[TOKENS * KV];
static _Alignas(64) float mixed[TOKENS * EMBD], out[TOKENS * EMBD], gate[TOKENS * FF], up[TOKENS * FF];
static _Alignas(64) uint16_t mask[TOKENS * TOKENS];
static _Alignas(64) float logits[TOKENS * VOCAB];

static dw_tensor tensors[32];
static dw_op ops[32];
static uint32_t n_tensors, n_ops;

static uint32_t tensor(void* data, uint32_t type, uint32_t ne0, uint32_t ne1, uint32_t ne2) {
  tensors[n_tensors] = (dw_tensor){.data = data, .type = type, .ne = {ne0, ne1, ne2, 1}};
  return n_tensors++;
}
static uint32_t matrix(float* data, uint32_t ne0, uint32_t ne1) { return tensor(data, DW_TYPE_F32, ne0, ne1, 1); }
/* Rows of heads as attention wants them: [HEAD, TOKENS, heads] over [HEAD, heads, TOKENS]. */
static uint32_t heads_of(float* data, uint32_t heads) {
  const uint32_t index = tensor(data, DW_TYPE_F32, HEAD, TOKENS, heads);
  const uint32_t nb[4] = {4, heads * HEAD * 4, HEAD * 4, TOKENS * heads * HEAD * 4};
  for (int d = 0; d < 4; ++d) tensors[index].nb[d] = nb[d];
  return index;
}
static dw_op* op(uint32_t kind, uint32_t dst, uint32_t src0, uint32_t src1) {
  ops[n_ops] = (dw_op){.op = kind, .dst = dst, .src = {src0, src1, DW_NO_TENSOR, DW_NO_TENSOR}};
  return &ops[n_ops++];
}
static void norm(uint32_t dst, uint32_t src, uint32_t weight) {
  op(DW_OP_RMS_NORM, dst, src, DW_NO_TENSOR)->f[0] = 1e-5f;
  op(DW_OP_MUL, dst, dst, weight);
}
static void rope(uint32_t data, uint32_t at) {
  dw_op* turn = op(DW_OP_ROPE, data, data, at);
  turn->i[0] = HEAD;
  turn->i[1] = DW_ROPE_NEOX;
  turn->f[0] = 10000.0f;
  turn->f[1] = 1.0f;
}

DW_EXPORT("weights_address") int32_t weights_address(void) { return (int32_t)weights; }
DW_EXPORT("tokens_address") int32_t tokens_address(void) { return (int32_t)tokens; }
DW_EXPORT("logits_address") int32_t logits_address(void) { return (int32_t)logits; }

DW_EXPORT("forward") int32_t forward(void) {
  uint32_t state = 12345;
  for (int i = 0; i < N_WEIGHTS; ++i) {
    state = state * 1664525u + 1013904223u;
    weights[i] = (float)(state >> 8) / 16777216.0f - 0.5f;
  }
  for (int i = 0; i < TOKENS; ++i) {
    tokens[i] = (i * 17 + 3) % VOCAB;
    positions[i] = i;
    for (int j = 0; j < TOKENS; ++j) mask[i * TOKENS + j] = j <= i ? 0 : 0xfc00; /* minus infinity */
  }
  n_tensors = n_ops = 0;
  const uint32_t embedding = matrix(weights + EMBEDDING, EMBD, VOCAB);
  const uint32_t tx = matrix(x, EMBD, TOKENS), th = matrix(h, EMBD, TOKENS), tout = matrix(out, EMBD, TOKENS);
  const uint32_t at = tensor(positions, DW_TYPE_I32, TOKENS, 1, 1);
  op(DW_OP_GET_ROWS, tx, embedding, tensor(tokens, DW_TYPE_I32, TOKENS, 1, 1));

  norm(th, tx, matrix(weights + NORM1, EMBD, 1));
  op(DW_OP_MATMUL, matrix(q, EMBD, TOKENS), matrix(weights + WQ, EMBD, EMBD), th);
  op(DW_OP_MATMUL, matrix(k, KV, TOKENS), matrix(weights + WK, EMBD, KV), th);
  op(DW_OP_MATMUL, matrix(v, KV, TOKENS), matrix(weights + WV, EMBD, KV), th);
  rope(tensor(q, DW_TYPE_F32, HEAD, HEADS, TOKENS), at);
  rope(tensor(k, DW_TYPE_F32, HEAD, KV_HEADS, TOKENS), at);
  dw_op* attention =
      op(DW_OP_ATTENTION, tensor(mixed, DW_TYPE_F32, HEAD, HEADS, TOKENS), heads_of(q, HEADS), heads_of(k, KV_HEADS));
  attention->src[2] = heads_of(v, KV_HEADS);
  attention->src[3] = tensor(mask, DW_TYPE_F16, TOKENS, TOKENS, 1);
  attention->f[0] = 0.25f;
  op(DW_OP_MATMUL, tout, matrix(weights + WO, EMBD, EMBD), matrix(mixed, EMBD, TOKENS));
  op(DW_OP_ADD, tx, tx, tout);

  norm(th, tx, matrix(weights + NORM2, EMBD, 1));
  const uint32_t tgate = matrix(gate, FF, TOKENS), tup = matrix(up, FF, TOKENS);
  op(DW_OP_MATMUL, tgate, matrix(weights + WGATE, EMBD, FF), th);
  op(DW_OP_MATMUL, tup, matrix(weights + WUP, EMBD, FF), th);
  op(DW_OP_SILU, tgate, tgate, DW_NO_TENSOR);
  op(DW_OP_MUL, tgate, tgate, tup);
  op(DW_OP_MATMUL, tout, matrix(weights + WDOWN, FF, EMBD), tgate);
  op(DW_OP_ADD, tx, tx, tout);

  norm(th, tx, matrix(weights + NORM3, EMBD, 1));
  op(DW_OP_MATMUL, matrix(logits, VOCAB, TOKENS), embedding, th);
  return dw_tensor_run(tensors, n_tensors, ops, n_ops);
}
