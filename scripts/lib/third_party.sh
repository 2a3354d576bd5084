# shellcheck shell=bash
# How the pinned dependencies are fetched and built, and the keys that name the results. Needs common.sh and cargo.sh.
#
# Every result is a folder $DW_CACHE/deps/<name>-<key>. The key is a hash of all that went into it: the pins, its
# recipe below, the compiler, and for ggml also the CPU, since it is built for that. A result is made in
# $DW_CACHE/work/<name>-<key> and moved into place when it is complete: a folder under deps/ is always whole, and an
# interrupted build goes on where it stopped.

DW_VARIANT=cpu
DW_DEVICES=${DRIFTWOOD_DEVICES:-}
DW_WASMTIME=${DRIFTWOOD_WASMTIME:-prebuilt}
DW_PINS=$DW_ROOT/third_party

check_choices() {
  case "$DW_WASMTIME" in
    prebuilt | source) ;;
    *) die "DRIFTWOOD_WASMTIME ('$DW_WASMTIME') is neither 'prebuilt' nor 'source'." ;;
  esac
  local device
  for device in $DW_DEVICES; do
    case "$device" in
      cuda | vulkan) ;;
      metal)
        [ "$DW_OS" = Darwin ] ||
          die "Metal is macOS's, and this is $DW_OS: leave it out of DRIFTWOOD_DEVICES ('$DW_DEVICES')."
        ;;
      *) die "DRIFTWOOD_DEVICES ('$DW_DEVICES') names '$device', which is not one of vulkan, cuda, metal." ;;
    esac
  done
}

short_hash() { sha256_of | cut -c1-16; }

# The lock's lines for one crate: its version and checksum.
lock_entry() { awk -v name="name = \"$1\"" '$0 == name { on = 1 } on && /^$/ { exit } on' "$DW_PINS/Cargo.lock"; }

cpu_identity() {
  if [ -r /proc/cpuinfo ]; then
    grep -m1 -E '^(flags|Features|isa)' /proc/cpuinfo | tr ' ' '\n' | sort -u
  else
    sysctl -n machdep.cpu.brand_string
    sysctl hw.optional | sort
  fi
}

compiler_identity() {
  "${CC:-cc}" -dumpmachine
  "${CC:-cc}" --version | head -n 1
  "${CXX:-c++}" --version | head -n 1
}

crates_key() { short_hash <"$DW_PINS/Cargo.lock"; }
ggml_key() { (echo "$DW_VARIANT" && lock_entry llama-cpp-sys-2 && declare -f build_ggml ggml_device_options &&
  compiler_identity && cpu_identity) | short_hash; }
ggml_module_key() { # DEVICE: the module is built for no processor in particular
  (lock_entry llama-cpp-sys-2 && declare -f build_ggml_module "$1_module" "$1_module_options" && compiler_identity &&
    echo "${DRIFTWOOD_CUDA_ARCHITECTURES:-}" && find "$DW_PINS/$1" -type f -exec cat {} +) 2>/dev/null | short_hash
}
wasmtime_key() {
  (
    uname -s -m
    declare -f "${DW_WASMTIME}_wasmtime"
    if [ "$DW_WASMTIME" = source ]; then
      cat "$DW_PINS/Cargo.lock" "$DW_PINS/Cargo.toml" "$DW_PINS/wasmtime.rs"
    else
      lock_entry wasmtime-c-api-impl
      cat "$DW_PINS/requirements.txt"
    fi
  ) | short_hash
}

crates_dir() { echo "$DW_CACHE/deps/crates-$DW_WASMTIME-$(crates_key)"; }
ggml_prefix() { echo "$DW_CACHE/deps/ggml-$DW_VARIANT-$(ggml_key)"; }
ggml_module_prefix() { echo "$DW_CACHE/deps/ggml-$1-$(ggml_module_key "$1")"; } # of DEVICE
wasmtime_prefix() { echo "$DW_CACHE/deps/wasmtime-$DW_WASMTIME-$(wasmtime_key)"; }

# make_result DIR FUNCTION: where DIR is missing, runs FUNCTION WORK STAGE under a lock. WORK outlives a failure, STAGE
# starts empty and becomes DIR.
make_result() {
  local name
  name=$(basename "$1")
  if [ -d "$1" ]; then say "$name is in the cache"; else with_lock "$name" make_result_locked "$1" "$2" "$name"; fi
}
make_result_locked() {
  local dir=$1 function=$2 name=$3 work="$DW_CACHE/work/$3"
  [ ! -d "$dir" ] || return 0
  mkdir -p "$work" "$DW_CACHE/deps"
  rm -rf "$work/stage"
  "$function" "$work" "$work/stage"
  mv "$work/stage" "$dir"
  rm -rf "$work"
  say "$name is ready"
}

# The locked crates, each checked by cargo against the lock's checksum; where nothing is built with cargo, only the two
# that are used are kept.
fetch_crates() {
  local work=$1 stage=$2 cargo
  cargo=$(find_cargo) || die "No cargo of version 1.$(cargo_needed) or newer was found; run scripts/setup.sh."
  say "fetching the pinned sources"
  rm -rf "$work/crates"
  run_logged crates "$cargo" vendor --locked --versioned-dirs --manifest-path "$DW_PINS/Cargo.toml" "$work/crates"
  if [ "$DW_WASMTIME" = prebuilt ]; then
    mkdir "$stage"
    mv "$work"/crates/wasmtime-c-api-impl-[0-9]* "$work"/crates/llama-cpp-sys-2-[0-9]* "$stage"
    rm -rf "$work/crates"
  else
    mv "$work/crates" "$stage"
  fi
}
need_crates() { make_result "$(crates_dir)" fetch_crates; }
crate_path() { echo "$(crates_dir)/$1"-[0-9]*; } # of NAME, once they are there

ggml_device_options() {
  echo -DGGML_CUDA=OFF -DGGML_VULKAN=OFF -DGGML_METAL=OFF -DGGML_BLAS=OFF
}

# ggml and libllama, static. No OpenMP, since Driftwood has one thread pool, its own; no ccache, which takes
# -march=native of another machine for this one's.
build_ggml() {
  local work=$1 stage=$2 source
  need_crates
  source=$(crate_path llama-cpp-sys-2)/llama.cpp
  say "building ggml and libllama for this CPU, some minutes (an interrupted build goes on when run again)"
  # shellcheck disable=SC2046
  run_logged ggml-configure cmake -G Ninja -S "$source" -B "$work/build" \
    -DCMAKE_BUILD_TYPE=Release -DCMAKE_INSTALL_PREFIX="$stage" -DCMAKE_INSTALL_LIBDIR=lib \
    -DCMAKE_POSITION_INDEPENDENT_CODE=ON -DBUILD_SHARED_LIBS=OFF \
    -DGGML_NATIVE=ON -DGGML_OPENMP=OFF -DGGML_CCACHE=OFF $(ggml_device_options) \
    -DLLAMA_BUILD_COMMON=OFF -DLLAMA_BUILD_TOOLS=OFF -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF \
    -DLLAMA_BUILD_SERVER=OFF -DLLAMA_BUILD_APP=OFF -DLLAMA_BUILD_UI=OFF -DLLAMA_USE_PREBUILT_UI=OFF -DLLAMA_OPENSSL=OFF
  run_logged ggml-build cmake --build "$work/build" --target llama --parallel "$(job_count)"
  run_logged ggml-install cmake --install "$work/build"
}

# ggml's back end for DEVICE as a module, driftwood-DEVICE.so, that the program loads when the device is first asked for,
# and the ggml-base that it needs: a machine without the device's driver runs the same program, and a build for the CPU
# only is not made twice.
build_ggml_module() { # DEVICE WORK STAGE
  local device=$1 work=$2 stage=$3 source options=()
  need_crates
  source=$(crate_path llama-cpp-sys-2)/llama.cpp
  while IFS= read -r option; do options+=("$option"); done < <("${device}_module_options")
  say "building ggml's kernels for $device, some minutes (an interrupted build goes on when run again)"
  # shellcheck disable=SC2016  # $ORIGIN is the loader's
  run_logged "ggml-$device-configure" cmake -G Ninja -S "$source" -B "$work/build" \
    -DCMAKE_BUILD_TYPE=Release -DCMAKE_BUILD_WITH_INSTALL_RPATH=ON '-DCMAKE_INSTALL_RPATH=$ORIGIN' \
    -DBUILD_SHARED_LIBS=ON -DGGML_BACKEND_DL=ON -DGGML_CPU=OFF \
    -DGGML_NATIVE=OFF -DGGML_OPENMP=OFF -DGGML_CCACHE=OFF -DLLAMA_BUILD_COMMON=OFF -DLLAMA_BUILD_TOOLS=OFF \
    -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_BUILD_SERVER=OFF -DLLAMA_BUILD_APP=OFF \
    -DLLAMA_BUILD_UI=OFF -DLLAMA_USE_PREBUILT_UI=OFF -DLLAMA_OPENSSL=OFF "${options[@]}"
  run_logged "ggml-$device-build" cmake --build "$work/build" --target "ggml-$device" --parallel "$(job_count)"
  mkdir -p "$stage/lib"
  cp "$work/build/bin/libggml-$device.so" "$stage/lib/driftwood-$device.so"
  cp "$work"/build/bin/libggml-base.so.0 "$stage/lib/"
}
vulkan_module_options() {
  printf '%s\n' -DGGML_VULKAN=ON "-DCMAKE_CXX_FLAGS=-include $DW_PINS/vulkan/layer_settings.hpp"
}
vulkan_module() { build_ggml_module vulkan "$@"; }

# For this machine's GPU, or for the architectures of DRIFTWOOD_CUDA_ARCHITECTURES ("90;100").
cuda_module_options() {
  printf '%s\n' -DGGML_CUDA=ON -DGGML_CUDA_NCCL=OFF "-DCMAKE_CUDA_ARCHITECTURES=${DRIFTWOOD_CUDA_ARCHITECTURES:-native}"
}
# The header says how a buffer is made for the back end, which Driftwood does for memory that it has already.
cuda_module() {
  build_ggml_module cuda "$@"
  mkdir -p "$2/include"
  cp "$(crate_path llama-cpp-sys-2)/llama.cpp/ggml/src/ggml-backend-impl.h" "$2/include/"
}

# macOS names its libraries otherwise. The kernels' text is in the module, which compiles them when it is loaded: Xcode
# is not needed.
metal_module_options() {
  printf '%s\n' -DGGML_METAL=ON -DGGML_METAL_EMBED_LIBRARY=ON -DGGML_BLAS=OFF -DGGML_ACCELERATE=OFF
}
metal_module() { # WORK STAGE
  local work=$1 stage=$2 source options=()
  need_crates
  source=$(crate_path llama-cpp-sys-2)/llama.cpp
  while IFS= read -r option; do options+=("$option"); done < <(metal_module_options)
  say "building ggml's kernels for metal"
  run_logged ggml-metal-configure cmake -G Ninja -S "$source" -B "$work/build" \
    -DCMAKE_BUILD_TYPE=Release -DCMAKE_BUILD_WITH_INSTALL_RPATH=ON -DCMAKE_INSTALL_RPATH=@loader_path \
    -DBUILD_SHARED_LIBS=ON -DGGML_BACKEND_DL=ON -DGGML_CPU=OFF \
    -DGGML_NATIVE=OFF -DGGML_OPENMP=OFF -DGGML_CCACHE=OFF -DLLAMA_BUILD_COMMON=OFF -DLLAMA_BUILD_TOOLS=OFF \
    -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_BUILD_SERVER=OFF -DLLAMA_BUILD_APP=OFF \
    -DLLAMA_BUILD_UI=OFF -DLLAMA_USE_PREBUILT_UI=OFF -DLLAMA_OPENSSL=OFF "${options[@]}"
  run_logged ggml-metal-build cmake --build "$work/build" --target ggml-metal --parallel "$(job_count)"
  mkdir -p "$stage/lib"
  cp "$work/build/bin/libggml-metal.so" "$stage/lib/driftwood-metal.so"
  cp "$work/build/bin/libggml-base.0.dylib" "$stage/lib/"
}

# Wasmtime's headers from the crate and its library from the wheel, with every feature on. The wheel may be of another
# patch release; the headers tell the library's version, since that is what runs.
prebuilt_wasmtime() {
  local work=$1 stage=$2 crate version
  need_crates
  crate=$(crate_path wasmtime-c-api-impl)
  say "fetching the prebuilt Wasmtime library"
  mkdir -p "$stage/lib"
  cmake -DCMAKE_INSTALL_PREFIX="$stage" -P "$crate/cmake/install-headers.cmake" >/dev/null
  rm -rf "$work/wheel"
  python3 -m pip download --quiet --no-deps --only-binary=:all: --require-hashes \
    --dest "$work/wheel" -r "$DW_PINS/requirements.txt" ||
    die "The prebuilt Wasmtime could not be fetched. If there is none for this system, set DRIFTWOOD_WASMTIME=source."
  python3 "$DW_ROOT/scripts/lib/unzip_member.py" "$work"/wheel/wasmtime-*.whl '*/_libwasmtime.*' "$work/library"
  version=$(basename "$work"/wheel/wasmtime-*.whl | cut -d- -f2)
  sed "s/\(#define WASMTIME_VERSION\) .*/\1 \"$version\"/" "$stage/include/wasmtime.h" >"$work/wasmtime.h"
  mv "$work/wasmtime.h" "$stage/include/wasmtime.h"
  if [ "$DW_OS" = Darwin ]; then # the name that programs remember, and the signature that changing it breaks
    mv "$work/library" "$stage/lib/libwasmtime.dylib"
    install_name_tool -id @rpath/libwasmtime.dylib "$stage/lib/libwasmtime.dylib"
    codesign --force --sign - "$stage/lib/libwasmtime.dylib"
  else
    mv "$work/library" "$stage/lib/libwasmtime.so"
  fi
}

# Wasmtime's headers and a static library from the crate, with the features that third_party/Cargo.toml names.
source_wasmtime() {
  local work=$1 stage=$2 crate cargo feature features="" 
  need_crates
  crate=$(crate_path wasmtime-c-api-impl)
  cargo=$(find_cargo) || die "No cargo of version 1.95 or newer was found; run scripts/setup.sh."
  for feature in $(sed -n 's/^features = \[\(.*\)\]$/\1/p' "$DW_PINS/Cargo.toml" | tr -d '",'); do
    features="$features -DWASMTIME_FEATURE_$(echo "$feature" | tr a-z- A-Z_)=ON"
  done
  say "building Wasmtime from source, some minutes (an interrupted build goes on when run again)"
  mkdir -p "$stage/lib"
  # shellcheck disable=SC2086
  cmake -DCMAKE_INSTALL_PREFIX="$stage" -DWASMTIME_DISABLE_ALL_FEATURES=ON $features \
    -P "$crate/cmake/install-headers.cmake" >/dev/null
  CARGO_TARGET_DIR="$work/target" run_logged wasmtime-build "$cargo" build --release --locked --offline \
    --jobs "$(job_count)" --manifest-path "$DW_PINS/Cargo.toml" \
    --config 'source.crates-io.replace-with = "crates"' \
    --config "source.crates.directory = \"$(crates_dir)\""
  mv "$work/target/release/libwasmtime.a" "$stage/lib/"
}

# make_dependencies: what CMake will look for and the system does not have. Two steps.
make_dependencies() {
  local device
  check_choices
  step "Wasmtime"
  if [ -d "$(wasmtime_prefix)" ] || ! system_has wasmtime; then
    make_result "$(wasmtime_prefix)" "${DW_WASMTIME}_wasmtime"
  fi
  step "ggml and libllama"
  if [ -d "$(ggml_prefix)" ] || ! system_has ggml; then
    make_result "$(ggml_prefix)" build_ggml
  fi
  for device in $DW_DEVICES; do make_result "$(ggml_module_prefix "$device")" "${device}_module"; done
}

# Whether CMake finds the system's own package in a version that fits.
system_has() {
  local probe status=0
  [ "$DW_WASMTIME" = prebuilt ] || [ "$1" != wasmtime ] || return 1
  mkdir -p "$DW_CACHE/work"
  probe=$(mktemp -d "$DW_CACHE/work/probe.XXXXXX")
  cmake -G Ninja -S "$DW_ROOT/cmake/probe" -B "$probe" -DPROBE="$1" >/dev/null 2>&1 || status=1
  rm -rf "$probe"
  [ "$status" != 0 ] || say "the system's own $1 is used"
  return "$status"
}
