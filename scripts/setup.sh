#!/usr/bin/env bash
# Installs the missing packages and builds the pinned dependencies, so that `cmake --preset dev` works.
#   scripts/setup.sh [build|test|check]...   for these purposes only; default: all of them
# With DRIFTWOOD_DEVICES=vulkan also what the Vulkan device needs, as the preset vulkan does.
# Needs root or sudo where packages are missing. Can be run again at little cost, and goes on where it was interrupted.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/lib/build.sh

case "${1:-}" in -h | --help)
  usage
  exit
  ;;
esac
plan_steps 3
if [ $# = 0 ]; then set -- build test check; fi
set_up "$@"
say "done after $(elapsed); go on with: cmake --preset dev && cmake --build --preset dev"
