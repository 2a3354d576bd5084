/* A reactor that does what its message says: see actor_test.cpp. */
#include <driftwood.h>
#include <string.h>

static char message[256];
static uint32_t handled;

static int32_t reply_text(const char* text) { return dw_reply(text, (uint32_t)strlen(text)); }

/* Calls with wild arguments; each must fail, and the guest must be able to say so. */
static int32_t misuse(void) {
  char* wild = (char*)0xfffffff0u;
  int32_t failed = 0;
  failed += dw_log(DW_LOG_INFO, wild, 64) == DW_E_INVALID_ARGUMENT;
  failed += dw_get_info((dw_info*)wild) == DW_E_INVALID_ARGUMENT;
  failed += dw_tensor_run((dw_tensor*)wild, 1, (dw_op*)wild, 1) == DW_E_INVALID_ARGUMENT;
  failed += dw_tensor_run((dw_tensor*)message, 0xffffffffu, (dw_op*)message, 1) == DW_E_INVALID_ARGUMENT;
  failed += dw_forward((dw_forward_desc*)wild) == DW_E_INVALID_ARGUMENT;
  failed += dw_receive(message, 0xffffffffu) == DW_E_INVALID_ARGUMENT;
  failed += dw_model_close(-1) == DW_E_INVALID_ARGUMENT;
  int32_t model = 0;
  failed += dw_model_open("secret", 6, &model) == DW_E_NOT_FOUND;
  if (failed != 8) return 1;
  char sentence[256];
  const int32_t length = dw_last_error(sentence, sizeof(sentence));
  return dw_reply(sentence, (uint32_t)length);
}

DW_EXPORT("driftwood_receive") int32_t driftwood_receive(void) {
  const int32_t length = dw_receive(message, sizeof(message) - 1);
  if (length < 0) return length;
  message[length] = '\0';
  ++handled;
  if (strcmp(message, "count") == 0) {
    const char digit = (char)('0' + handled);
    return dw_reply(&digit, 1);
  }
  if (strcmp(message, "emit") == 0) {
    dw_emit("one ", 4);
    dw_emit("two", 3);
    return reply_text("one two");
  }
  if (strcmp(message, "emit until cancelled") == 0) {
    int32_t status = DW_OK;
    while (status == DW_OK) status = dw_emit(".", 1);
    return status;
  }
  if (strcmp(message, "misuse") == 0) return misuse();
  if (strcmp(message, "fail") == 0) return 7;
  if (strcmp(message, "pass an error on") == 0) return dw_model_close(5);
  if (strcmp(message, "last error") == 0) {
    char sentence[256];
    return dw_reply(sentence, (uint32_t)dw_last_error(sentence, sizeof(sentence)));
  }
  if (strcmp(message, "trap") == 0) __builtin_trap();
  if (strcmp(message, "loop") == 0) {
    for (volatile uint32_t i = 0;; ++i) {
    }
  }
  return reply_text("what?");
}
