#!/usr/bin/env bash
# What can be said of the sources without running them: format, layers, shell scripts, left-overs, headers alone.
#   scripts/check.sh [--fix]    --fix formats the C++ files in place
# Needs root or sudo where packages are missing. Every check is made; the status is 1 if one found something.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/lib/build.sh

case "${1:-}" in
  --fix) fix=1 ;;
  '') fix=0 ;;
  -h | --help) usage && exit ;;
  *) usage >&2 && exit 2 ;;
esac
preset=${DRIFTWOOD_PRESET:-dev}
failed=0
found() {
  echo "    FOUND: $*" >&2
  failed=1
}

cpp_files() { project_files | grep -E '\.(cpp|hpp|c|h)$'; }

plan_steps 9
set_up build test check

step "format"
clang_format=$(command -v clang-format-19 || command -v clang-format)
# One process for each file, so that each is named; its complaints in detail are what --fix would change.
unformatted() {
  # shellcheck disable=SC2016
  cpp_files | xargs -P "$(job_count)" -I{} \
    sh -c '"$1" --dry-run -Werror --ferror-limit=1 "$2" >/dev/null 2>&1 || echo "$2"' - "$clang_format" {}
}
if ! "$clang_format" --version | grep -q 'version 19\.'; then
  warn "the format is clang-format 19's, and here is $("$clang_format" --version); not checked"
elif [ "$fix" = 1 ]; then
  cpp_files | xargs "$clang_format" -i
else
  files=$(unformatted | sort)
  [ -z "$files" ] || found "these files are not formatted (scripts/check.sh --fix): $(echo "$files" | tr '\n' ' ')"
fi

step "layers"
python3 scripts/lib/check_layers.py || found "includes against the layers"

step "shell scripts"
shellcheck scripts/*.sh scripts/lib/*.sh .ci/run || found "shellcheck's remarks"

step "left-overs and sizes"
# Spelled so that this line is not one itself.
if project_files | grep -vE '^(LICENSE|third_party/)' | xargs grep -nE '\b(T[O]DO|F[I]XME|X[X]X)\b' -- 2>/dev/null; then
  found "notes of work not done"
fi
cpp_files | xargs wc -l | awk '$2 != "total" && $1 > 500 { print "    long: " $2 " has " $1 " lines" }' >&2

DW_LOGS=$DW_ROOT/build/logs
step "configuring, preset $preset"
run_logged "configure-$preset" cmake --preset "$preset"

step "every header compiles alone"
run_logged headers cmake --build --preset "$preset" --parallel "$(job_count)" --target driftwood_headers_alone ||
  found "headers that need another one before them"

[ "$failed" = 0 ] || die "there is something to mend, see above"
say "all checks passed after $(elapsed)"
