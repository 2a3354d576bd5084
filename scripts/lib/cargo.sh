# shellcheck shell=bash
# Which cargo to use. Reading the pinned crates takes 1.85 (edition 2024), building Wasmtime takes 1.95.

cargo_needed() { if [ "${DRIFTWOOD_WASMTIME:-prebuilt}" = source ]; then echo 95; else echo 85; fi; }

# Prints the first cargo whose version is at least 1.<cargo_needed>; status 1 if there is none.
find_cargo() {
  local candidate minor
  for candidate in ${CARGO:+"$CARGO"} cargo "$HOME/.cargo/bin/cargo" /usr/bin/cargo /usr/bin/cargo-1.*; do
    minor=$("$candidate" --version 2>/dev/null | sed -n 's/^cargo 1\.\([0-9]*\).*/\1/p') || continue
    if [ "${minor:-0}" -ge "$(cargo_needed)" ]; then
      echo "$candidate"
      return
    fi
  done
  return 1
}
