#!/usr/bin/env bash
# Fetches and builds the pinned dependencies into the cache, unless they are there.
#   scripts/deps.sh                                do it
#   scripts/deps.sh --print-prefix wasmtime|ggml   print its folder, for CMake; status 1 if it isn't built yet
# Environment: DRIFTWOOD_CACHE (where), DRIFTWOOD_WASMTIME=prebuilt|source, DRIFTWOOD_DEPS_VARIANT=cpu|vulkan|cuda|metal.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/lib/common.sh
source scripts/lib/cargo.sh
source scripts/lib/third_party.sh

# The folder of one dependency, if it is built.
print_prefix() {
  local dir
  case "$1" in
    wasmtime) dir=$(wasmtime_prefix) ;;
    ggml) dir=$(ggml_prefix) ;;
    *) die "There is no dependency '$1'; there are wasmtime and ggml." ;;
  esac
  [ -d "$dir" ] || die "$dir does not exist."
  echo "$dir"
}

case "${1:-}" in
  --print-prefix) print_prefix "${2:-}" ;;
  '')
    plan_steps 3
    step "Pinned sources"
    make_result "$(sources_dir)" fetch_sources
    step "Wasmtime ($DW_WASMTIME)"
    make_result "$(wasmtime_prefix)" install_wasmtime
    step "ggml and libllama ($DW_VARIANT)"
    make_result "$(ggml_prefix)" build_ggml
    ;;
  *) sed -n '2,5p' "$0" | cut -c3-; [ "$1" = --help ] || exit 2 ;;
esac
