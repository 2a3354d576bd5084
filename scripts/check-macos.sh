#!/usr/bin/env bash
# Compiles for macOS on arm64 what of src/ is neither Objective-C nor another system's, so that it can't rot where there
# is no Mac. Nothing is linked or run.
#   scripts/check-macos.sh [FILE...]    default: all of src/ that concerns macOS
# Zig's clang brings macOS's headers; those of the libraries are this machine's. What was compiled once is remembered in
# the cache. Needs what scripts/setup.sh installs. The status is 1 if a file does not compile.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/lib/build.sh

case "${1:-}" in -h | --help)
  usage
  exit
  ;;
esac

zig_dir() { echo "$DW_CACHE/deps/zig-$( (cat "$DW_PINS/macos-requirements.txt" && uname -s -m) | short_hash)"; }
install_zig() {
  python3 -m pip install --quiet --no-deps --only-binary=:all: --require-hashes --root-user-action=ignore \
    --target "$2" -r "$DW_PINS/macos-requirements.txt"
}

# The libraries' headers without the C library's, which lie in the same folder.
link_headers() { # DIR
  local name folder
  rm -rf "$1"
  mkdir -p "$1/openssl" "$1/driftwood"
  for name in fmt spdlog nlohmann hwy CLI sqlite3.h zstd.h; do
    for folder in /usr/include /usr/local/include /opt/homebrew/include; do
      if [ -e "$folder/$name" ]; then ln -sfn "$folder/$name" "$1/$name"; fi
    done
    [ -e "$1/$name" ] || die "The header $name is not here; run scripts/setup.sh build."
  done
  # Debian keeps what differs between processors apart.
  find /usr/include/openssl /usr/include/*-linux-gnu/openssl -name '*.h' -exec ln -sf {} "$1/openssl/" \;
  sed -E 's/@PROJECT_VERSION@/0.0.0/; s/@PROJECT_VERSION_[A-Z]+@/0/' include/driftwood/version.hpp.in \
    >"$1/driftwood/version.hpp"
}

# What another system or its own library is needed for.
elsewhere='_linux\.cpp$|^src/device/(vulkan|cuda)/|^src/device/worker/([^n]|n[^o])'

plan_steps 2
step "Zig"
make_result "$(zig_dir)" install_zig
headers=$DW_ROOT/build/macos/include
link_headers "$headers"

step "compiling"
ggml=$(./scripts/deps.sh --print-prefix ggml)
wasmtime=$(./scripts/deps.sh --print-prefix wasmtime)
if [ $# = 0 ]; then mapfile -t files < <(project_files | grep '^src/.*\.cpp$' | grep -vE "$elsewhere"); else files=("$@"); fi
# The deployment target is the oldest that libc++ has all of C++23 for that is used. Zig asks for a function that C++17
# removed and that stands in the way of std::unexpected. fmt before 11 has format strings that a newer clang does not take
# for constants, in spdlog's headers too.
export ZIG_GLOBAL_CACHE_DIR=$DW_CACHE/zig ZIG_LOCAL_CACHE_DIR=$DW_CACHE/zig
compile=("$(zig_dir)/ziglang/zig" c++ -target aarch64-macos.14.0 -std=c++23 -O0 -g0 -Wall -Wextra -Werror
  -Wno-missing-designated-field-initializers # those left out have defaults
  -Isrc -Iinclude -Isdk/c -isystem "$headers" -isystem "$ggml/include" -isystem "$wasmtime/include"
  -U_LIBCPP_ENABLE_CXX17_REMOVED_UNEXPECTED_FUNCTIONS -DFMT_CONSTEVAL=
  -DFMT_SHARED -DSPDLOG_COMPILED_LIB -DSPDLOG_FMT_EXTERNAL -DSPDLOG_SHARED_LIB -DDRIFTWOOD_BUILDING_LIBRARY
  '-DDRIFTWOOD_METAL_MODULE="driftwood-metal.so"' -c)
mkdir -p build/macos/objects
# The file is the last argument. Each process writes an object of its own.
# shellcheck disable=SC2016
printf '%s\n' "${files[@]}" | xargs -P "$(job_count)" -n 1 sh -c '
  for file; do :; done
  "$@" -o "build/macos/objects/$$.o" && rm "build/macos/objects/$$.o" && exit
  echo "    FOUND: $file does not compile" >&2
  exit 1' - "${compile[@]}" || die "there is something to mend, see above"
say "${#files[@]} files compile for macOS after $(elapsed)"
