#!/usr/bin/env bash
# Builds Driftwood (preset release) and runs one benchmark; what it prints is on stdout, all else on stderr.
#   scripts/bench.sh NAME [--json] [OPTIONS]    chain, forward, coldstart, ...; without NAME: which there are
#   scripts/bench.sh all [--short] [--out FOLDER] [OPTIONS]    every one, as one report with plots (all --help)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/lib/build.sh

case "${1:-} ${2:-}" in
  -h* | --help*)
    usage
    exit
    ;;
  "all -h" | "all --help") exec python3 bench/report/run_all.py none --help ;;
esac
preset=${DRIFTWOOD_PRESET:-release}
plan_steps 5
set_up build
need_model
build "$preset" driftwood-bench driftwood
export DRIFTWOOD_TEST_MODEL=$DW_MODEL
program=build/$preset/bench/driftwood-bench
if [ "${1:-}" = all ]; then
  shift
  exec python3 bench/report/run_all.py "$program" "$@"
fi
exec "$program" "$@"
