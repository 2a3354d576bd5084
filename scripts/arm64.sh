#!/usr/bin/env bash
# Builds Driftwood for Linux on arm64 and tests it on this machine, emulated by qemu-user: unit tests, with pages of
# 4 and 64 KiB, and actors that move from this machine's processor to arm64 and back.
#   scripts/arm64.sh          build and test
#   scripts/arm64.sh build    only build, into build/arm64
#   scripts/arm64.sh test     only test what was built; status 77 where nothing was
# Works on Debian and Ubuntu. Needs root or sudo where packages are missing; Debian's packages for arm64 are unpacked
# into the cache and not installed. Environment: as for scripts/deps.sh; DRIFTWOOD_HOST, the program for this machine
# (default: that of the preset release); DRIFTWOOD_TEST_MODEL.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/lib/build.sh
source scripts/lib/arm64.sh

build_dir=build/arm64
arm64_program=$build_dir/apps/driftwood/driftwood
# What touches pages, files and instruction sets.
unit_tests=(region_test image_test page_watch_test context_test kv_files_test snapshot_format_test)

# The emulator does not hold programs to a limit of address space.
not_emulated='-*ReservationBeyondTheProcesssLimitIsOutOfMemory'
# Emulated vectors are slow: of the kernels, what holds each to its reference.
references='*Target*:*OfExtremeQuants*:*CapsScores*:Attention.AgreesWithPlainSoftmaxForOneQuery*:Attention.ReadsQuantizedRows:*AgreeWithTheReferenceForAny*'

run_units() { # PAGE_SIZE FILTER TEST...
  local page=$1 filter=$2 test
  shift 2
  for test in "$@"; do
    say "$test"
    run_logged "arm64-$test-$page" "${emulator[@]}" -p "$page" "$(find "$build_dir/tests" -name "$test" -type f)" \
      "--gtest_filter=$filter"
  done
}

build_all() {
  DRIFTWOOD_DEVICES='' ./scripts/setup.sh build test
  plan_steps "$1"
  install_packages arm64
  make_arm64_dependencies
  build_arm64 "$build_dir" driftwood cpu_kernels_test "${unit_tests[@]}"
}

test_all() {
  emulator=(qemu-aarch64 -L "$(arm64_sysroot)/root")
  step "unit tests, pages of 4 KiB"
  run_units 4096 "$not_emulated" "${unit_tests[@]}"
  run_units 4096 "$references" cpu_kernels_test
  step "unit tests of memory, pages of 64 KiB"
  run_units 65536 "$not_emulated" region_test image_test page_watch_test
  step "actors that move"
  DRIFTWOOD_HOST=$1 DRIFTWOOD_ARM64="${emulator[*]} $DW_ROOT/$arm64_program" DRIFTWOOD_TEST_MODEL=$DW_MODEL \
    python3 tests/arm64/move_test.py
  say "done after $(elapsed)"
}

case "${1:-}" in
  '')
    build_all 10
    build release driftwood
    need_model
    test_all "$DW_ROOT/build/release/apps/driftwood/driftwood"
    ;;
  build) build_all 5 ;;
  test)
    if [ ! -x "$arm64_program" ] || ! have qemu-aarch64; then
      say "$arm64_program is not built, or there is no qemu-aarch64: scripts/arm64.sh makes them"
      exit 77
    fi
    plan_steps 4
    if [ -n "${DRIFTWOOD_TEST_MODEL:-}" ]; then DW_MODEL=$DRIFTWOOD_TEST_MODEL && step "the given model"; else need_model; fi
    test_all "${DRIFTWOOD_HOST:-$DW_ROOT/build/release/apps/driftwood/driftwood}"
    ;;
  -h | --help) usage ;;
  *) usage >&2 && exit 2 ;;
esac
