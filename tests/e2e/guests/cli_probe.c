/* What a program does under `driftwood run`: cli_probe OPERATION [ARGUMENT...]. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "driftwood.h"

__attribute__((noinline)) static void fall_into_trap(volatile int* depth) {
  if (--*depth > 0) fall_into_trap(depth);
  __builtin_trap();
}

static int tell_error(void) {
  char sentence[512];
  const int32_t length = dw_last_error(sentence, sizeof sentence);
  printf("%.*s\n", length < (int32_t)sizeof sentence ? length : (int32_t)sizeof sentence, sentence);
  return 3;
}

static int copy_file(const char* path) {
  FILE* file = fopen(path, "r");
  if (file == NULL) {
    perror(path);
    return 4;
  }
  for (int c; (c = getc(file)) != EOF;) putchar(c);
  return fclose(file);
}

static int open_model(const char* name) {
  int32_t model = -1;
  if (dw_model_open(name, (uint32_t)strlen(name), &model) < 0) return tell_error();
  dw_model_info info = {.size = sizeof info};
  if (dw_model_get_info(model, &info) < 0) return tell_error();
  printf("%s %u layers\n", info.architecture, info.n_layer);
  return 0;
}

int main(int argc, char** argv) {
  const char* operation = argc > 1 ? argv[1] : "";
  const char* argument = argc > 2 ? argv[2] : "";
  if (strcmp(operation, "arguments") == 0) {
    for (int i = 2; i < argc; ++i) printf("[%s]", argv[i]);
    return 0;
  }
  if (strcmp(operation, "environment") == 0) {
    const char* value = getenv(argument);
    printf("%s", value == NULL ? "unset" : value);
    return 0;
  }
  if (strcmp(operation, "exit") == 0) return atoi(argument);
  if (strcmp(operation, "echo") == 0) {
    for (int c; (c = getchar()) != EOF;) putchar(c);
    return 0;
  }
  if (strcmp(operation, "cat") == 0) return copy_file(argument);
  if (strcmp(operation, "model") == 0) return open_model(argument);
  if (strcmp(operation, "trap") == 0) {
    volatile int depth = 3;
    fall_into_trap(&depth);
  }
  if (strcmp(operation, "loop") == 0) {
    for (volatile unsigned i = 0;; ++i) {
    }
  }
  if (strcmp(operation, "allocate") == 0) {
    const size_t size = (size_t)atoi(argument) << 20;
    char* bytes = malloc(size);
    if (bytes == NULL) return 5;
    memset(bytes, 1, size);
    return bytes[size - 1] - 1;
  }
  return 2;
}
