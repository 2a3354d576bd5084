# shellcheck shell=bash
# What every script shares: where things are, messages with step numbers, locks, logs. Source it, don't run it.
set -euo pipefail

DW_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
DW_CACHE=${DRIFTWOOD_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/driftwood}
DW_LOGS=$DW_CACHE/logs
DW_OS=$(uname -s)
DW_STARTED=$(date +%s)

# Messages go to stderr: stdout belongs to what a script was asked for.
say() { echo "    $*" >&2; }
warn() { echo "warning: $*" >&2; }
die() {
  echo "error: $*" >&2
  exit 1
}
elapsed() {
  local seconds=$(($(date +%s) - DW_STARTED))
  printf '%d:%02d' $((seconds / 60)) $((seconds % 60))
}

# plan_steps N, then N times: step "what is done now".
DW_STEP=0
DW_STEPS=0
plan_steps() {
  DW_STEPS=$1
  trap 'status=$?; [ $status = 0 ] || echo "$0 stopped in step $DW_STEP of $DW_STEPS, status $status" >&2' EXIT
}
step() {
  DW_STEP=$((DW_STEP + 1))
  echo "==> step $DW_STEP of $DW_STEPS, after $(elapsed): $*" >&2
}

# Prints the comment on top of the calling script, as its help.
usage() { awk 'NR > 1 { if (!/^#/) exit; sub(/^# ?/, ""); print }' "$0"; }

have() { command -v "$1" >/dev/null 2>&1; }

# The project's own files, from its root; without git (an unpacked archive), what isn't built or hidden.
project_files() {
  local file
  if [ -e .git ] && have git; then
    git ls-files --cached --others --exclude-standard
  else
    find . -path ./build -prune -o -path './.git' -prune -o -type f -print | sed 's|^\./||'
  fi | while IFS= read -r file; do if [ -e "$file" ]; then echo "$file"; fi; done
}

job_count() {
  if [ -n "${DRIFTWOOD_JOBS:-}" ]; then
    echo "$DRIFTWOOD_JOBS"
  elif have nproc; then
    nproc
  else
    sysctl -n hw.ncpu
  fi
}

sha256_of() { # of FILE, or of stdin
  if have sha256sum; then sha256sum "$@" | cut -d' ' -f1; else shasum -a 256 "$@" | cut -d' ' -f1; fi
}

# with_lock NAME COMMAND...: one run at a time for a cache. The lock goes with the process that holds it.
with_lock() {
  local name=$1
  shift
  mkdir -p "$DW_CACHE/locks"
  (
    if ! lock_descriptor_9 now; then
      say "waiting for another run that works on $name"
      lock_descriptor_9 wait
    fi
    "$@"
  ) 9>"$DW_CACHE/locks/$name"
}
lock_descriptor_9() { # now | wait
  if have flock; then
    if [ "$1" = now ]; then flock --nonblock 9; else flock 9; fi
  else # macOS has no flock(1), but the call
    perl -MFcntl=:flock -e 'open(F, ">&=9") or die; flock(F, $ARGV[0] eq "now" ? LOCK_EX|LOCK_NB : LOCK_EX) or exit 1' "$1"
  fi
}

# Lines of ninja, cargo and apt in, their progress out. Not in awk: some versions wait for the end of what they read.
show_progress() {
  local line last=0 crates=0 unpacked=0 ready=0
  while IFS= read -r line; do
    if [[ $line =~ ^\[([0-9]+)/([0-9]+)\] ]]; then
      local done=${BASH_REMATCH[1]} all=${BASH_REMATCH[2]}
      if [ $((10 * done / all)) -gt "$last" ]; then
        last=$((10 * done / all))
        echo "    $done of $all"
      fi
    elif [[ $line =~ ^\ *Compiling\  ]]; then
      crates=$((crates + 1))
      if [ $((crates % 20)) = 0 ]; then echo "    $crates crates compiled"; fi
    elif [[ $line == "Unpacking "* ]]; then
      unpacked=$((unpacked + 1))
      if [ $((unpacked % 40)) = 0 ]; then echo "    $unpacked packages unpacked"; fi
    elif [[ $line == "Setting up "* ]]; then
      ready=$((ready + 1))
      if [ $((ready % 40)) = 0 ]; then echo "    $ready packages set up"; fi
    fi
  done
}

# run_logged NAME COMMAND...: keeps the output in a log file and shows how far it is: every tenth of ninja's count, and
# now and then a line of cargo's or apt's. When the command fails, the end of the log follows.
run_logged() {
  local log="$DW_LOGS/$1.log" status=0
  shift
  mkdir -p "$DW_LOGS"
  "$@" 2>&1 | tee "$log" | show_progress >&2 || status=$?
  if [ "$status" != 0 ]; then
    echo "---- it failed; the end of $log:" >&2
    tail -n 40 "$log" >&2
    return "$status"
  fi
}
