// Tries what WASI gives a guest: wasi_probe OPERATION [ARGUMENT...]. The exit status is 0 or the
// errno of what failed; what was seen is the text at output().
#define _GNU_SOURCE  // nanosleep
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <wasi/api.h>

static char text[4096];

__attribute__((export_name("output"))) const char* output(void) { return text; }

static void say(const char* piece) { strncat(text, piece, sizeof text - strlen(text) - 1); }

static int read_file(const char* path) {
  const int fd = open(path, O_RDONLY);
  if (fd < 0) return errno;
  const ssize_t size = read(fd, text, sizeof text - 1);
  if (size < 0) return errno;
  text[size] = 0;
  return close(fd);
}

static int write_file(const char* path) {
  const int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
  if (fd < 0) return errno;
  if (write(fd, "written by the guest", 20) != 20) return errno;
  return close(fd);
}

static void list_preopens(void) {
  for (__wasi_fd_t fd = 3;; ++fd) {
    __wasi_prestat_t prestat;
    char name[128] = {0};
    if (__wasi_fd_prestat_get(fd, &prestat) != 0) return;
    if (__wasi_fd_prestat_dir_name(fd, (uint8_t*)name, sizeof name - 1) != 0) return;
    say(name);
    say("|");
  }
}

static int sleep_for(long milliseconds) {
  const struct timespec duration = {milliseconds / 1000, milliseconds % 1000 * 1000000};
  return nanosleep(&duration, NULL) == 0 ? 0 : errno;
}

extern char** environ;

int main(int argc, char** argv) {
  const char* operation = argc > 1 ? argv[1] : "";
  const char* argument = argc > 2 ? argv[2] : "";
  if (strcmp(operation, "arguments") == 0) {
    for (int i = 0; i < argc; ++i) say(argv[i]), say("|");
    return 0;
  }
  if (strcmp(operation, "environment") == 0) {
    for (char** variable = environ; *variable != NULL; ++variable) say(*variable), say("|");
    return 0;
  }
  if (strcmp(operation, "preopens") == 0) return list_preopens(), 0;
  if (strcmp(operation, "read") == 0) return read_file(argument);
  if (strcmp(operation, "write") == 0) return write_file(argument);
  if (strcmp(operation, "remove") == 0) return unlink(argument) == 0 ? 0 : errno;
  if (strcmp(operation, "sleep") == 0) return sleep_for(atol(argument));
  if (strcmp(operation, "print") == 0) return puts(argument) >= 0 && fflush(stdout) == 0 ? 0 : errno;
  if (strcmp(operation, "exit") == 0) exit(atoi(argument));
  return ENOTSUP;
}
