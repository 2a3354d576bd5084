#!/usr/bin/env bash
# Builds Driftwood (preset release) and runs one benchmark; what it prints is on stdout, all else on stderr.
#   scripts/bench.sh NAME [--json] [OPTIONS]    chain, forward, coldstart, ...; without NAME: which there are
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/lib/build.sh

case "${1:-}" in -h | --help)
  usage
  exit
  ;;
esac
preset=${DRIFTWOOD_PRESET:-release}
plan_steps 5
set_up build
need_model
build "$preset" driftwood-bench driftwood
export DRIFTWOOD_TEST_MODEL=$DW_MODEL
exec "build/$preset/bench/driftwood-bench" "$@"
