/* The guest of the benchmark forward: a Context, its tokens and the logits in linear memory, and a forward per call.
 * The host writes the tokens. Every export gives 0 or a positive value, or the error of the call that failed. */
#include <stdlib.h>

#include "driftwood.h"

#define MODEL "bench"
#define MAX_TOKENS 8192

static int32_t tokens[MAX_TOKENS];
static int32_t model;
static uint32_t n_vocab;
static void* context;
static uint32_t context_bytes;
static float* logits;

static int32_t forward(const int32_t* first, uint32_t count) {
  const dw_forward_desc desc = {.size = sizeof(desc),
                                .model = model,
                                .context = context,
                                .context_bytes = context_bytes,
                                .tokens = first,
                                .n_tokens = count,
                                .outputs = DW_LOGITS_LAST,
                                .logits = logits,
                                .logits_bytes = n_vocab * (uint32_t)sizeof(float)};
  return dw_forward(&desc);
}

/* Makes a Context for `n_ctx` tokens. */
DW_EXPORT("prepare") int32_t prepare(int32_t n_ctx) {
  if (n_ctx < 1 || n_ctx > MAX_TOKENS) return DW_E_INVALID_ARGUMENT;
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
  logits = aligned_alloc(64, (n_vocab * sizeof(float) + 63) & ~(size_t)63);
  if (context == NULL || logits == NULL) return DW_E_OUT_OF_MEMORY;
  return dw_context_init(&params, context, context_bytes);
}

DW_EXPORT("tokens_address") int32_t tokens_address(void) { return (int32_t)(uintptr_t)tokens; }
/* Those of the last token. */
DW_EXPORT("logits_address") int32_t logits_address(void) { return (int32_t)(uintptr_t)logits; }
DW_EXPORT("vocabulary") int32_t vocabulary(void) { return (int32_t)n_vocab; }

/* Forgets all tokens from `n_tokens` on. */
DW_EXPORT("rewind") int32_t rewind_to(int32_t n_tokens) {
  return dw_truncate(model, context, context_bytes, (uint32_t)n_tokens);
}

/* Appends the first `count` tokens, in one call. */
DW_EXPORT("prefill") int32_t prefill(int32_t count) {
  if (count < 1 || count > MAX_TOKENS) return DW_E_INVALID_ARGUMENT;
  return forward(tokens, (uint32_t)count);
}

/* Appends `count` tokens from the one numbered `first`, one by one, each with its logits. */
DW_EXPORT("decode") int32_t decode(int32_t first, int32_t count) {
  if (first < 0 || count < 0 || first > MAX_TOKENS - count) return DW_E_INVALID_ARGUMENT;
  for (int32_t i = 0; i < count; ++i) {
    const int32_t status = forward(tokens + first + i, 1);
    if (status < 0) return status;
  }
  return 0;
}

DW_EXPORT("append") int32_t append(int32_t token) { return forward(&token, 1); }
