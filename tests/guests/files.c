/* A reactor that opens files between its messages: see tests/device/node_files_test.cpp. */
#include <driftwood.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <wasi/api.h>

static char message[256];

static int32_t reply_text(const char* text) { return dw_reply(text, (uint32_t)strlen(text)); }

static int32_t reply_number(int number) {
  char text[16];
  snprintf(text, sizeof(text), "%d", number);
  return reply_text(text);
}

/* Whether the message begins with a command; `rest` is what follows it. */
static int says(const char* command, const char** rest) {
  *rest = message + strlen(command);
  return strncmp(message, command, strlen(command)) == 0;
}

DW_EXPORT("driftwood_receive") int32_t driftwood_receive(void) {
  const int32_t length = dw_receive(message, sizeof(message) - 1);
  if (length < 0 || length >= (int32_t)sizeof(message)) return 1;
  message[length] = '\0';
  const char* rest;
  int fd = 0, to = 0;
  if (says("open ", &rest)) return reply_number(open(rest, O_RDONLY));
  if (says("close ", &rest)) return sscanf(rest, "%d", &fd) == 1 ? reply_number(close(fd)) : 1;
  if (says("move ", &rest)) {
    return sscanf(rest, "%d %d", &fd, &to) == 2 ? reply_number(__wasi_fd_renumber((__wasi_fd_t)fd, (__wasi_fd_t)to))
                                                : 1;
  }
  if (says("read ", &rest)) {
    char text[5] = {0};
    if (sscanf(rest, "%d", &fd) != 1) return 1;
    return read(fd, text, 4) == 4 ? reply_text(text) : reply_text("no");
  }
  if (says("fork", &rest)) {
    uint64_t id;
    return dw_fork(1, &id) < 0 ? 1 : reply_number((int)id);
  }
  return 1;
}
