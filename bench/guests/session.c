/* The guest of the benchmarks snapshot and fork: a reactor that appends tokens to a Context and picks the next one.
 * With SESSION_TOP_K it asks for that many of the logits and picks among them by chance, else for all and the largest.
 * A message is a verb, its argument, and for "append" the tokens, all int32; the reply is one int32. */
#include <stdlib.h>
#include <string.h>

#include "driftwood.h"
#include "session.h"

#define MODEL "bench"

static int32_t model;
static uint32_t n_vocab;
static void* context;
static uint32_t context_bytes;
static float* logits;
static int32_t last; /* the token that follows */
static int32_t message[SESSION_MAX_TOKENS + 2];

#ifdef SESSION_TOP_K
#define OUTPUTS DW_LOGITS_TOP_K
#define N_LOGITS SESSION_TOP_K

static uint32_t random_state = 1;

static float random_number(void) {
  random_state ^= random_state << 13;
  random_state ^= random_state >> 17;
  random_state ^= random_state << 5;
  return (float)(random_state >> 8) / (float)(1 << 24);
}

/* exp(x) for x <= 0, near enough to draw by. */
static float weight_of(float x) {
  float y = 1 + x / 256;
  if (y < 0) return 0;
  for (int i = 0; i < 8; ++i) y *= y;
  return y;
}

static int32_t pick(void) {
  const dw_logit* best = (const dw_logit*)logits;
  float weights[SESSION_TOP_K];
  float sum = 0;
  for (int i = 0; i < SESSION_TOP_K; ++i) sum += weights[i] = weight_of((best[i].logit - best[0].logit) / 0.8f);
  float left = random_number() * sum;
  int i = 0;
  while (i + 1 < SESSION_TOP_K && (left -= weights[i]) > 0) ++i;
  return best[i].token;
}
#else
#define OUTPUTS DW_LOGITS_LAST
#define N_LOGITS n_vocab

static int32_t pick(void) {
  uint32_t best = 0;
  for (uint32_t i = 1; i < n_vocab; ++i) {
    if (logits[i] > logits[best]) best = i;
  }
  return (int32_t)best;
}
#endif

static int32_t append(const int32_t* tokens, uint32_t count) {
  const dw_forward_desc desc = {.size = sizeof(desc),
                                .model = model,
                                .context = context,
                                .context_bytes = context_bytes,
                                .tokens = tokens,
                                .n_tokens = count,
                                .outputs = OUTPUTS,
                                .top_k = OUTPUTS == DW_LOGITS_TOP_K ? N_LOGITS : 0,
                                .logits = logits,
                                .logits_bytes = n_vocab * (uint32_t)sizeof(float)};
  const int32_t status = dw_forward(&desc);
  if (status == DW_OK) last = pick();
  return status;
}

static int32_t generate(int32_t count) {
  for (int32_t i = 0; i < count; ++i) {
    const int32_t token = last;
    const int32_t status = append(&token, 1);
    if (status != DW_OK) return status;
  }
  return DW_OK;
}

static int32_t prepare(int32_t n_ctx) {
  int32_t status = dw_model_open(MODEL, sizeof(MODEL) - 1, &model);
  if (status < 0) return status;
  dw_model_info info = {.size = sizeof(info)};
  status = dw_model_get_info(model, &info);
  if (status < 0) return status;
  n_vocab = info.n_vocab;
  const dw_context_params params = {
      .size = sizeof(params), .model = model, .n_ctx = (uint32_t)n_ctx, .kv_type = DW_TYPE_F16};
  uint64_t bytes = 0;
  status = dw_context_size(&params, &bytes);
  if (status < 0) return status;
  if (bytes > UINT32_MAX - DW_CONTEXT_ALIGNMENT) return DW_E_OUT_OF_MEMORY;
  context_bytes = (uint32_t)(bytes + DW_CONTEXT_ALIGNMENT - 1) & ~(uint32_t)(DW_CONTEXT_ALIGNMENT - 1);
  context = aligned_alloc(DW_CONTEXT_ALIGNMENT, context_bytes);
  logits = aligned_alloc(DW_CONTEXT_ALIGNMENT, n_vocab * sizeof(float));
  if (context == NULL || logits == NULL) return DW_E_OUT_OF_MEMORY;
  return dw_context_init(&params, context, context_bytes);
}

DW_EXPORT("driftwood_receive") int32_t driftwood_receive(void) {
  const int32_t bytes = dw_receive((char*)message, sizeof(message));
  if (bytes < 0) return bytes;
  const int32_t argument = message[1];
  int32_t status = DW_OK;
  int32_t answer = last;
  switch (message[0]) {
    case SESSION_PING: break;
    case SESSION_PREPARE: status = prepare(argument); break;
    case SESSION_APPEND: status = append(message + 2, (uint32_t)argument); break;
    case SESSION_GENERATE: status = generate(argument); break;
    case SESSION_REWIND: status = dw_truncate(model, context, context_bytes, (uint32_t)argument); break;
    case SESSION_TEXT:
      for (int32_t i = 0; i < argument && status == DW_OK; ++i) status = append(message + 2 + i, 1);
      break;
    case SESSION_CONTEXT_ADDRESS: answer = (int32_t)(uintptr_t)context; break;
    case SESSION_CONTEXT_BYTES: answer = (int32_t)context_bytes; break;
    case SESSION_LOGITS_ADDRESS: answer = (int32_t)(uintptr_t)logits; break;
    default: status = DW_E_INVALID_ARGUMENT;
  }
  if (status != DW_OK) return status;
  if (message[0] == SESSION_APPEND || message[0] == SESSION_GENERATE) answer = last;
  return dw_reply((const char*)&answer, sizeof(answer));
}
