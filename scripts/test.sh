#!/usr/bin/env bash
# Set-up, build, and every test.
#   scripts/test.sh [--preset NAME] [--label unit|device|e2e|compat|fuzz] [-- CTEST OPTIONS]
# Default preset: release. The preset fuzz builds and runs the fuzz targets only. On Linux the Vulkan device is built and
# tested too, with Mesa's driver for the processor; DRIFTWOOD_DEVICES= leaves it out. Needs root or sudo where packages
# are missing. Ends with ctest's summary and its status.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# Sanitizers would report the driver's own leaks.
case "$*:${DRIFTWOOD_PRESET:-}:$(uname -s)" in
  *fuzz* | *asan* | *tsan* | *:Darwin) export DRIFTWOOD_DEVICES=${DRIFTWOOD_DEVICES-} ;;
  *) export DRIFTWOOD_DEVICES=${DRIFTWOOD_DEVICES-vulkan} ;;
esac
source scripts/lib/build.sh
source scripts/lib/test_python.sh

preset=${DRIFTWOOD_PRESET:-release}
select=()
while [ $# -gt 0 ]; do
  case "$1" in
    --preset) preset=${2:?"--preset needs a name"} && shift 2 ;;
    --label) select=(--label-regex "^${2:?"--label needs a name"}\$") && shift 2 ;;
    --) shift && break ;;
    -h | --help) usage && exit ;;
    *) usage >&2 && exit 2 ;;
  esac
done

plan_steps 7
set_up build test
need_model
need_test_python
if [ "$preset" = ci ]; then DW_CONFIGURE+=(-DDRIFTWOOD_REQUIRE_GO=ON); fi
if [ "$preset" = fuzz ]; then
  build fuzz driftwood_fuzzers
  select=(--label-regex '^fuzz$')
else
  build "$preset"
fi
step "tests"
export DRIFTWOOD_PRESET=$preset DRIFTWOOD_TEST_MODEL=$DW_MODEL
if [ -n "$DW_TEST_PYTHON" ]; then export DRIFTWOOD_TEST_PYTHON=$DW_TEST_PYTHON; fi
# One at a time: the tests that compute use all cores themselves, and measure memory.
exec ctest --preset "$preset" --output-on-failure ${select[@]+"${select[@]}"} "$@"
