/* An actor for the tests of freeze, thaw, fork and verify: it does what a message says, and remembers. */
#define _GNU_SOURCE /* clock_gettime, getentropy */
#include <driftwood.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static char message[256];
static unsigned count;
static unsigned fork_index;
static struct timespec seen; /* by "clock": what another run cannot see again */
static unsigned char random_bytes[16];

static int32_t reply_number(unsigned number) {
  char text[16];
  const int length = snprintf(text, sizeof text, "%u", number);
  return dw_reply(text, (uint32_t)length);
}

DW_EXPORT("driftwood_forked") int32_t driftwood_forked(uint32_t index) {
  fork_index = index;
  return DW_OK;
}

DW_EXPORT("driftwood_receive") int32_t driftwood_receive(void) {
  const int32_t length = dw_receive(message, sizeof message - 1);
  if (length < 0) return length;
  message[length] = '\0';
  if (strcmp(message, "count") == 0) return reply_number(++count);
  if (strcmp(message, "who") == 0) return reply_number(fork_index);
  if (strcmp(message, "clock") == 0) {
    clock_gettime(CLOCK_REALTIME, &seen);
    return dw_reply("looked", 6);
  }
  if (strcmp(message, "random") == 0) {
    if (getentropy(random_bytes, sizeof random_bytes) != 0) return 1;
    return dw_reply("drawn", 5);
  }
  if (strcmp(message, "trap") == 0) __builtin_trap();
  return dw_reply("what?", 5);
}
