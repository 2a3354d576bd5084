#!/usr/bin/env bash
# From a bare machine to a WebAssembly guest that answers: set-up, build, model, and a chat actor's answer to a prompt,
# with the proof that guest, host and device shared the same bytes.
#   scripts/demo.sh [PROMPT]
# Needs root or sudo where packages are missing. Can be run again at little cost, and goes on where it was interrupted.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/lib/build.sh

case "${1:-}" in -h | --help)
  usage
  exit
  ;;
esac
prompt=${1:-Explain in two sentences why the tide comes in and goes out.}
preset=${DRIFTWOOD_PRESET:-release}

plan_steps 6
set_up build
build "$preset" driftwood example_guests
need_model
step "an actor answers: $prompt"
exec "build/$preset/apps/driftwood/driftwood" chat --model "$DW_MODEL" --prompt "$prompt" --proof
