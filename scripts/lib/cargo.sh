# shellcheck shell=bash
# Finds a cargo that can read the pinned crates (edition 2024: 1.85) or build them (1.95).

cargo_version_of() { "$1" --version 2>/dev/null | awk '{ split($2, v, "."); print v[1] * 1000 + v[2] }'; }

# find_cargo MAJOR MINOR: prints the first cargo that is at least that new.
find_cargo() {
  local wanted=$(($1 * 1000 + $2)) candidate version
  for candidate in "${CARGO:-cargo}" "$HOME/.cargo/bin/cargo" /usr/lib/cargo-web/bin/cargo /usr/lib/rust-*/bin/cargo /usr/bin/cargo-1.*; do
    have "$candidate" || continue
    version=$(cargo_version_of "$candidate")
    if [ "${version:-0}" -ge "$wanted" ]; then
      echo "$candidate"
      return
    fi
  done
  return 1
}

cargo_command() { find_cargo 1 85 || die "No cargo of version 1.85 or newer was found; run scripts/setup.sh."; }
