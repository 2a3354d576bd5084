/* A reactor that does what its message says, with other actors too: see tests/device/node_*_test.cpp. */
#include <driftwood.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char message[4096];
static char notes[65536]; /* what "note" messages said, each followed by a space */
static uint32_t handled;
static uint32_t forked_as;
static bool deaf; /* to forks */
static uint64_t next_actor;

static bool says(const char* command) { return strncmp(message, command, strlen(command)) == 0; }
static const char* rest(const char* command) { return message + strlen(command); }
static uint32_t count_of(const char* command) { return (uint32_t)strtoul(rest(command), NULL, 10); }

static int32_t reply_text(const char* text) { return dw_reply(text, (uint32_t)strlen(text)); }

/* The code and the sentence of a call that failed, or "ok". */
static int32_t reply_outcome(int32_t result) {
  if (result >= 0) return reply_text("ok");
  char sentence[400], text[420];
  const int32_t length = dw_last_error(sentence, sizeof(sentence));
  snprintf(text, sizeof(text), "%d %.*s", (int)result, (int)length, sentence);
  return reply_text(text);
}

static dw_self_info self(void) {
  dw_self_info info = {.size = sizeof(info)};
  if (dw_self(&info) < 0) __builtin_trap();
  return info;
}

/* "ID TEXT" */
static int32_t send_to(const char* arguments) {
  char* text;
  const uint64_t to = strtoull(arguments, &text, 10);
  if (*text == ' ') ++text;
  return dw_send(to, text, (uint32_t)strlen(text));
}

static int32_t send_text(uint64_t to, const char* text) { return dw_send(to, text, (uint32_t)strlen(text)); }

static int32_t fork_children(uint32_t count, bool greet) {
  static uint64_t ids[DW_MAX_FORKS];
  const int32_t result = dw_fork(count, ids);
  if (result < 0) return reply_outcome(result);
  for (uint32_t i = 0; greet && i < count; ++i) {
    if (send_text(ids[i], "note hello") < 0) return 1;
  }
  char text[64];
  snprintf(text, sizeof(text), "%llu", (unsigned long long)ids[0]);
  return reply_text(text);
}

/* Calls with wild arguments; how many failed as they should. */
static int32_t misuse(void) {
  char* wild = (char*)0xfffffff0u;
  uint64_t* crooked = (uint64_t*)(message + 1);
  dw_self_info small = {.size = 8};
  int failed = 0;
  failed += dw_self((dw_self_info*)wild) == DW_E_INVALID_ARGUMENT;
  failed += dw_self(&small) == DW_E_INVALID_ARGUMENT;
  failed += dw_send(1, wild, 64) == DW_E_INVALID_ARGUMENT;
  failed += dw_send(1, (char*)0, DW_MAX_TEXT + 1) == DW_E_INVALID_ARGUMENT;
  failed += dw_checkpoint(wild, 64) == DW_E_INVALID_ARGUMENT;
  failed += dw_checkpoint(message, DW_LABEL_MAX + 1) == DW_E_INVALID_ARGUMENT;
  failed += dw_checkpoint("", 0) == DW_E_INVALID_ARGUMENT;
  failed += dw_checkpoint("a\nb", 3) == DW_E_INVALID_ARGUMENT;
  failed += dw_checkpoint("\xff", 1) == DW_E_INVALID_ARGUMENT;
  failed += dw_fork(1, (uint64_t*)wild) == DW_E_INVALID_ARGUMENT;
  failed += dw_fork(1, crooked) == DW_E_INVALID_ARGUMENT;
  failed += dw_fork(0, (uint64_t*)notes) == DW_E_INVALID_ARGUMENT;
  failed += dw_fork(0xffffffffu, (uint64_t*)notes) == DW_E_INVALID_ARGUMENT;
  char text[16];
  snprintf(text, sizeof(text), "%d", failed);
  return reply_text(text);
}

static int32_t who(void) {
  const dw_self_info info = self();
  char text[128];
  snprintf(text, sizeof(text), "id %llu parent %llu index %u told %u", (unsigned long long)info.id,
           (unsigned long long)info.parent, (unsigned)info.fork_index, (unsigned)forked_as);
  return reply_text(text);
}

static int32_t note(const char* text) {
  if (strlen(notes) + strlen(text) + 2 > sizeof(notes)) return 1;
  strcat(notes, text);
  strcat(notes, " ");
  return 0;
}

/* A sum on the device, over memory that grows now and then. */
static int32_t compute(void) {
  static _Alignas(64) float a[64], sum[64];
  if (handled % 4 == 0) __builtin_wasm_memory_grow(0, 1);
  for (int i = 0; i < 64; ++i) a[i] = (float)(i + (int)handled);
  const dw_tensor tensors[] = {{.data = a, .type = DW_TYPE_F32, .ne = {64, 1, 1, 1}},
                               {.data = sum, .type = DW_TYPE_F32, .ne = {64, 1, 1, 1}}};
  const dw_op op = {.op = DW_OP_ADD, .dst = 1, .src = {0, 0, DW_NO_TENSOR, DW_NO_TENSOR}};
  const int32_t result = dw_tensor_run(tensors, 2, &op, 1);
  if (result < 0) return reply_outcome(result);
  for (int i = 0; i < 64; ++i) {
    if (sum[i] != 2 * a[i]) return reply_text("wrong");
  }
  return reply_text("right");
}

static void loop(void) {
  dw_emit("looping", 7);
  for (volatile uint32_t i = 0;; ++i) {
  }
}

static int32_t grow(void) {
  while (__builtin_wasm_memory_grow(0, 16) != (size_t)-1) {
  }
  __builtin_trap();
}

DW_EXPORT("driftwood_forked") int32_t driftwood_forked(uint32_t fork_index) {
  if (deaf) return 7;
  const bool at_rest = dw_receive(message, 1) == DW_E_UNAVAILABLE && dw_emit("", 0) == DW_E_UNAVAILABLE &&
                       dw_reply("", 0) == DW_E_UNAVAILABLE;
  if (at_rest) forked_as = fork_index;
  return note("forked");
}

DW_EXPORT("driftwood_receive") int32_t driftwood_receive(void) {
  const int32_t length = dw_receive(message, sizeof(message) - 1);
  if (length < 0) return length;
  message[(uint32_t)length < sizeof(message) ? (uint32_t)length : sizeof(message) - 1] = '\0';
  ++handled;
  if (says("note ")) return note(rest("note "));
  if (says("notes")) return reply_text(notes);
  if (says("count")) {
    char text[16];
    snprintf(text, sizeof(text), "%u", (unsigned)handled);
    return reply_text(text);
  }
  if (says("who")) return who();
  if (says("deaf")) {
    deaf = true;
    return 0;
  }
  if (says("emit until cancelled")) {
    int32_t status = DW_OK;
    while (status == DW_OK) status = dw_emit(".", 1);
    return status;
  }
  if (says("emit-and-send ")) {
    dw_emit("sending", 7);
    return reply_outcome(send_to(rest("emit-and-send ")));
  }
  if (says("emit")) {
    const int32_t result = dw_emit("here", 4);
    return result < 0 ? result : reply_text("emitted");
  }
  if (says("next ")) {
    next_actor = strtoull(rest("next "), NULL, 10);
    return 0;
  }
  if (says("token ")) {
    if (count_of("token ") == 0) return 0;
    char text[32];
    snprintf(text, sizeof(text), "token %u", (unsigned)count_of("token ") - 1);
    return send_text(next_actor, text);
  }
  if (says("send ")) return reply_outcome(send_to(rest("send ")));
  if (says("send-and-emit ")) {
    const int32_t result = send_to(rest("send-and-emit "));
    dw_emit("sent", 4);
    return reply_outcome(result);
  }
  if (says("send-and-fail ")) return send_to(rest("send-and-fail ")) < 0 ? 1 : 7;
  if (says("send-and-trap ")) {
    send_to(rest("send-and-trap "));
    __builtin_trap();
  }
  if (says("echo")) {
    char text[64];
    snprintf(text, sizeof(text), "note echo-of-%llu", (unsigned long long)self().id);
    return send_text(self().sender, text);
  }
  if (says("fork ")) return fork_children(count_of("fork "), false);
  if (says("fork-and-greet ")) return fork_children(count_of("fork-and-greet "), true);
  if (says("fork-and-fail ")) {
    const int32_t result = fork_children(count_of("fork-and-fail "), true);
    return result < 0 ? result : 7;
  }
  if (says("fork-twice")) {
    fork_children(1, false);
    uint64_t id;
    return dw_fork(1, &id) == DW_E_INVALID_ARGUMENT ? 0 : 1;
  }
  if (says("checkpoint ")) return reply_outcome(dw_checkpoint(rest("checkpoint "), (uint32_t)strlen(message) - 11));
  if (says("compute")) return compute();
  if (says("misuse")) return misuse();
  if (says("fail")) return 7;
  if (says("trap")) __builtin_trap();
  if (says("grow")) return grow();
  if (says("loop")) loop();
  return reply_text("what?");
}
