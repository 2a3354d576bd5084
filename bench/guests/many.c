/* The guest of the benchmark many: a reactor that continues a text greedily. It answers each message with the token
 * that follows. */
#include "many.h"

#include <stdlib.h>

#include "driftwood.h"

#define MODEL "bench"

static int32_t model;
static void* context;
static uint32_t context_bytes;
static dw_logit best[4] __attribute__((aligned(64)));
static int32_t last; /* the token that follows */
static int32_t message[MANY_MAX_TOKENS + 2];

static int32_t append(const int32_t* tokens, uint32_t count) {
  const dw_forward_desc desc = {.size = sizeof(desc),
                                .model = model,
                                .context = context,
                                .context_bytes = context_bytes,
                                .tokens = tokens,
                                .n_tokens = count,
                                .outputs = DW_LOGITS_TOP_K,
                                .top_k = 1,
                                .logits = best,
                                .logits_bytes = sizeof(best)};
  const int32_t status = dw_forward(&desc);
  if (status == DW_OK) last = best[0].token;
  return status;
}

static int32_t generate(int32_t count) {
  for (int32_t i = 0; i < count; ++i) {
    const int32_t token = last;
    int32_t status = append(&token, 1);
    if (status == DW_OK) status = dw_emit((const char*)&last, sizeof(last));
    if (status != DW_OK) return status;
  }
  return DW_OK;
}

static int32_t prepare(int32_t n_ctx) {
  int32_t status = dw_model_open(MODEL, sizeof(MODEL) - 1, &model);
  if (status < 0) return status;
  const dw_context_params params = {
      .size = sizeof(params), .model = model, .n_ctx = (uint32_t)n_ctx, .kv_type = DW_TYPE_F16};
  uint64_t bytes = 0;
  status = dw_context_size(&params, &bytes);
  if (status < 0) return status;
  if (bytes > UINT32_MAX - DW_CONTEXT_ALIGNMENT) return DW_E_OUT_OF_MEMORY;
  context_bytes = (uint32_t)(bytes + DW_CONTEXT_ALIGNMENT - 1) & ~(uint32_t)(DW_CONTEXT_ALIGNMENT - 1);
  context = aligned_alloc(DW_CONTEXT_ALIGNMENT, context_bytes);
  if (context == NULL) return DW_E_OUT_OF_MEMORY;
  return dw_context_init(&params, context, context_bytes);
}

DW_EXPORT("driftwood_receive") int32_t driftwood_receive(void) {
  const int32_t bytes = dw_receive((char*)message, sizeof(message));
  if (bytes < 0) return bytes;
  const int32_t argument = message[1];
  int32_t status = DW_E_INVALID_ARGUMENT;
  switch (message[0]) {
    case MANY_PREPARE: status = prepare(argument); break;
    case MANY_APPEND: status = append(message + 2, (uint32_t)argument); break;
    case MANY_GENERATE: status = generate(argument); break;
    case MANY_REWIND: status = dw_truncate(model, context, context_bytes, (uint32_t)argument); break;
    default: break;
  }
  if (status != DW_OK) return status;
  return dw_reply((const char*)&last, sizeof(last));
}
