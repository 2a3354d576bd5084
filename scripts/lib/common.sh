# shellcheck shell=bash
# What every script shares: where things are, messages with step numbers, locks and hashes. Source it, don't run it.
set -euo pipefail

DW_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
DW_CACHE=${DRIFTWOOD_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/driftwood}
DW_OS=$(uname -s)
DW_STARTED=${DW_STARTED:-$(date +%s)}
export DW_STARTED

elapsed() { echo "$(($(date +%s) - DW_STARTED))s"; }

# Messages go to stderr: stdout belongs to what a script was asked for.
say() { echo "    $*" >&2; }
warn() { echo "warning: $*" >&2; }
die() {
  echo "error: $*" >&2
  exit 1
}

# plan_steps N, then step "title" N times: prints "==> [k/n, 12s] title". A script that calls another one passes
# its own numbering on, so that the user sees one count.
DW_STEP=0
DW_STEPS=0
plan_steps() {
  DW_STEPS=$1
  DW_STEP=0
}
step() {
  DW_STEP=$((DW_STEP + 1))
  echo "==> [${DW_STEP}/${DW_STEPS}, $(elapsed)] $*" >&2
}

have() { command -v "$1" >/dev/null 2>&1; }

cpu_count() {
  if have nproc; then nproc; else sysctl -n hw.ncpu 2>/dev/null || echo 2; fi
}

sha256_of() { # sha256_of FILE, or of stdin
  if have sha256sum; then sha256sum "$@" | cut -d' ' -f1; else shasum -a 256 "$@" | cut -d' ' -f1; fi
}

# with_lock NAME COMMAND...: one holder per machine and cache. The lock goes with the process that holds it.
with_lock() {
  local name=$1 lock="$DW_CACHE/locks/$1.lock"
  shift
  mkdir -p "$DW_CACHE/locks"
  if have flock; then
    (
      flock --nonblock 9 || {
        say "waiting for another run that works on $name"
        flock 9
      }
      "$@"
    ) 9>"$lock"
  else # macOS has no flock(1): a folder with the holder's process number
    local told=0
    until mkdir "$lock.d" 2>/dev/null; do
      local holder
      holder=$(cat "$lock.d/pid" 2>/dev/null || echo)
      if [ -n "$holder" ] && ! kill -0 "$holder" 2>/dev/null; then
        rm -rf "$lock.d"
        continue
      fi
      [ "$told" = 1 ] || say "waiting for another run that works on $name"
      told=1
      sleep 1
    done
    echo "$$" >"$lock.d/pid"
    local status=0
    (set -e; "$@") || status=$?
    rm -rf "$lock.d"
    return "$status"
  fi
}

# run_logged LOG COMMAND...: keeps the output in LOG and passes on what shows progress (ninja's counter about every
# tenth, cargo's "Compiling" counts). On failure the end of LOG is shown.
run_logged() {
  local log=$1
  shift
  mkdir -p "$(dirname "$log")"
  local status=0
  "$@" 2>&1 | tee "$log" | awk '
    match($0, /^\[[0-9]+\/[0-9]+\]/) {
      split(substr($0, 2, RLENGTH - 2), n, "/")
      tenth = int(10 * n[1] / n[2])
      if (tenth > last) { last = tenth; printf "    %d of %d\n", n[1], n[2]; fflush() }
      next
    }
    /^ +Compiling / { if (++crates % 25 == 0) { printf "    %d crates\n", crates; fflush() } }
  ' >&2 || status=$?
  if [ "$status" != 0 ]; then
    echo "---- end of $log" >&2
    tail -n 40 "$log" >&2
    return "$status"
  fi
}
