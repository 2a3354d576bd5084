#!/usr/bin/env bash
# Fetches and builds the pinned dependencies into the cache, unless they are there.
#   scripts/deps.sh                                do it
#   scripts/deps.sh --print-prefix wasmtime|ggml|cuda|metal|vulkan
#                                                  print the folder of one, for CMake; status 1 if it isn't built
# Environment: DRIFTWOOD_CACHE (where; default ~/.cache/driftwood), DRIFTWOOD_WASMTIME=prebuilt|source,
# DRIFTWOOD_DEVICES (beside the CPU: "cuda", "metal", "vulkan"), DRIFTWOOD_JOBS (how many compilers at a time).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/lib/common.sh
source scripts/lib/cargo.sh
source scripts/lib/third_party.sh

print_prefix() {
  local dir
  check_choices
  case "$1" in
    wasmtime) dir=$(wasmtime_prefix) ;;
    ggml) dir=$(ggml_prefix) ;;
    cuda | metal | vulkan) dir=$(ggml_module_prefix "$1") ;;
    *) die "There is no dependency '$1'; there are wasmtime, ggml, cuda, metal and vulkan." ;;
  esac
  [ -d "$dir" ] || die "$dir does not exist."
  echo "$dir"
}

case "${1:-}" in
  '')
    plan_steps 2
    make_dependencies
    ;;
  --print-prefix) print_prefix "${2:-}" ;;
  -h | --help) usage ;;
  *)
    usage >&2
    exit 2
    ;;
esac
