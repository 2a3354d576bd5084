# shellcheck shell=bash
# How each pinned dependency is fetched and built, and the key that names its result. Used by deps.sh.
#
# Every result is a folder $DW_CACHE/deps/<name>-<key>. The key is a hash of all that went into it: the pins, this
# recipe, the compiler, and for ggml the CPU, since it is built with -march=native. A result is made under
# $DW_CACHE/work/<name>-<key> and moved into place when it is complete, so a folder under deps/ is always whole, and
# an interrupted build goes on where it stopped.

DW_VARIANT=${DRIFTWOOD_DEPS_VARIANT:-cpu}
DW_WASMTIME=${DRIFTWOOD_WASMTIME:-prebuilt}
DW_RECIPE=${BASH_SOURCE[0]}

case "$DW_VARIANT" in cpu | vulkan | cuda | metal) ;; *) die "DRIFTWOOD_DEPS_VARIANT ($DW_VARIANT) is not one of cpu, vulkan, cuda, metal." ;; esac
case "$DW_WASMTIME" in prebuilt | source) ;; *) die "DRIFTWOOD_WASMTIME ($DW_WASMTIME) is neither prebuilt nor source." ;; esac

short_hash() { sha256_of | cut -c1-16; }

# The lock's entry for one crate: its version and checksum.
lock_entry() { awk -v name="name = \"$1\"" '$0 == name { on = 1 } on && /^$/ { exit } on' "$DW_ROOT/third_party/Cargo.lock"; }

cpu_identity() {
  if [ -r /proc/cpuinfo ]; then
    grep -m1 -E '^(flags|Features|isa)' /proc/cpuinfo | tr ' ' '\n' | sort -u
  else
    sysctl -a 2>/dev/null | grep -E '^(machdep\.cpu\.(brand_string|features|leaf7_features)|hw\.optional)' | sort
  fi
}

compiler_identity() {
  "${CC:-cc}" -dumpmachine
  "${CC:-cc}" --version | head -n 1
  "${CXX:-c++}" --version | head -n 1
}

sources_key() { (cat "$DW_ROOT/third_party/Cargo.lock" && declare -f fetch_sources) | short_hash; }

ggml_key() {
  {
    echo "$DW_VARIANT"
    lock_entry llama-cpp-sys-2
    declare -f build_ggml ggml_options
    compiler_identity
    cpu_identity
  } | short_hash
}

wasmtime_key() {
  {
    echo "$DW_WASMTIME $(uname -s -m)"
    if [ "$DW_WASMTIME" = source ]; then cat "$DW_ROOT/third_party/Cargo.lock" "$DW_ROOT/third_party/Cargo.toml"; else
      lock_entry wasmtime-c-api-impl
      cat "$DW_ROOT/third_party/requirements.txt"
    fi
    declare -f install_wasmtime prebuilt_wasmtime source_wasmtime
  } | short_hash
}

sources_dir() { echo "$DW_CACHE/deps/sources-$(sources_key)"; }
ggml_prefix() { echo "$DW_CACHE/deps/ggml-$DW_VARIANT-$(ggml_key)"; }
wasmtime_prefix() { echo "$DW_CACHE/deps/wasmtime-$DW_WASMTIME-$(wasmtime_key)"; }

# make_result DIR FUNCTION: runs FUNCTION WORK STAGE unless DIR is there; WORK is kept after a failure, STAGE becomes DIR.
make_result() {
  local dir=$1 function=$2 name
  name=$(basename "$dir")
  if [ -d "$dir" ]; then
    say "$name: in the cache"
    return
  fi
  with_lock "$name" make_result_locked "$dir" "$function" "$name"
}
make_result_locked() {
  local dir=$1 function=$2 work="$DW_CACHE/work/$3"
  [ ! -d "$dir" ] || return 0
  mkdir -p "$work" "$DW_CACHE/deps"
  rm -rf "$work/stage"
  "$function" "$work" "$work/stage"
  mv "$work/stage" "$dir"
  rm -rf "$work"
  say "$3: done after $(elapsed)"
}

# All locked crates, each checked by cargo against the lock's checksum.
fetch_sources() {
  local work=$1 stage=$2
  say "fetching the pinned sources with cargo"
  rm -rf "$work/vendor"
  run_logged "$DW_CACHE/logs/sources.log" "$(cargo_command)" vendor --locked --versioned-dirs \
    --manifest-path "$DW_ROOT/third_party/Cargo.toml" "$work/vendor"
  mv "$work/vendor" "$stage"
}

ggml_options() {
  echo -DGGML_METAL=OFF -DGGML_BLAS=OFF -DGGML_CUDA=OFF -DGGML_VULKAN=OFF
}

# ggml and libllama, static, with one thread pool (Driftwood's: hence no OpenMP).
build_ggml() {
  local work=$1 stage=$2 source
  [ "$DW_VARIANT" = cpu ] || die "The dependency variant '$DW_VARIANT' is not available yet; use the dev or release preset (variant cpu)."
  source=$(echo "$(sources_dir)"/llama-cpp-sys-2-*/llama.cpp)
  say "building ggml and libllama for this CPU (a few minutes; interrupt and run again at will)"
  # shellcheck disable=SC2046
  run_logged "$DW_CACHE/logs/ggml-configure.log" cmake -G Ninja -S "$source" -B "$work/build" \
    -DCMAKE_BUILD_TYPE=Release -DCMAKE_INSTALL_PREFIX="$stage" -DCMAKE_INSTALL_LIBDIR=lib \
    -DCMAKE_POSITION_INDEPENDENT_CODE=ON -DBUILD_SHARED_LIBS=OFF \
    -DGGML_NATIVE=ON -DGGML_OPENMP=OFF $(ggml_options) \
    -DLLAMA_BUILD_COMMON=OFF -DLLAMA_BUILD_TOOLS=OFF -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF \
    -DLLAMA_BUILD_SERVER=OFF -DLLAMA_BUILD_APP=OFF -DLLAMA_BUILD_UI=OFF -DLLAMA_USE_PREBUILT_UI=OFF -DLLAMA_OPENSSL=OFF
  run_logged "$DW_CACHE/logs/ggml-build.log" cmake --build "$work/build" --target llama --parallel "$(cpu_count)"
  run_logged "$DW_CACHE/logs/ggml-install.log" cmake --install "$work/build"
}

# Wasmtime's headers, and its library either from the wheel or from the crate.
install_wasmtime() {
  local work=$1 stage=$2 crate
  crate=$(echo "$(sources_dir)"/wasmtime-c-api-impl-*)
  mkdir -p "$stage/lib" "$stage/include"
  "${DW_WASMTIME}_wasmtime" "$work" "$stage" "$crate"
}

prebuilt_wasmtime() {
  local work=$1 stage=$2 crate=$3
  say "fetching the prebuilt Wasmtime library"
  cmake -DCMAKE_INSTALL_PREFIX="$stage" -P "$crate/cmake/install-headers.cmake" >/dev/null
  rm -rf "$work/wheel"
  python3 -m pip download --quiet --no-deps --only-binary=:all: --require-hashes \
    --dest "$work/wheel" -r "$DW_ROOT/third_party/requirements.txt"
  python3 - "$work/wheel" "$stage/lib" <<'PYTHON'
import pathlib, sys, zipfile

wheel = next(pathlib.Path(sys.argv[1]).glob("wasmtime-*.whl"))
with zipfile.ZipFile(wheel) as archive:
    library = next(n for n in archive.namelist() if pathlib.Path(n).stem == "_libwasmtime")
    target = pathlib.Path(sys.argv[2]) / ("libwasmtime" + pathlib.Path(library).suffix)
    target.write_bytes(archive.read(library))
    target.chmod(0o755)
PYTHON
  if [ "$DW_OS" = Darwin ]; then # the name that binaries remember, and the signature that the change breaks
    install_name_tool -id @rpath/libwasmtime.dylib "$stage/lib/libwasmtime.dylib"
    codesign --force --sign - "$stage/lib/libwasmtime.dylib"
  fi
}

source_wasmtime() {
  local work=$1 stage=$2 crate=$3 features
  features="cranelift wasi parallel-compilation addr2line demangle wat"
  say "building Wasmtime from source (several minutes; interrupt and run again at will)"
  mkdir -p "$work/crate"
  cp -R "$crate/." "$work/crate/"
  cp "$DW_ROOT/third_party/Cargo.lock" "$work/crate/Cargo.lock"
  die "not yet"
}
