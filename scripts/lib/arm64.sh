# shellcheck shell=bash
# The pinned dependencies for Linux on arm64, built on another machine. Needs build.sh, of whose recipes it uses those
# for ggml and Wasmtime, with another compiler, processor and wheel. Results lie in the same cache:
#   sysroot-arm64-<key>   Debian's packages for arm64, unpacked in root/, and toolchain.cmake for them
#   ggml-arm64-<key>, wasmtime-arm64-<key>

DW_VARIANT=arm64
DW_WASMTIME=prebuilt
# The oldest processors meant: dot products and half floats, as arm64 servers have them since 2018.
DW_ARM64_LEVEL=armv8.2-a+dotprod+fp16
DW_ARM64_PACKAGES="libc6-dev libstdc++-12-dev libcli11-dev libspdlog-dev libfmt-dev nlohmann-json3-dev libssl-dev
  libhwy-dev libedit-dev libsqlite3-dev libzstd-dev libgtest-dev libgmock-dev"
DW_ARM64_TOOLCHAIN=$DW_ROOT/cmake/toolchains/aarch64-linux.cmake

# What build_ggml and its key take of the machine that is built for. The last of two settings counts.
ggml_device_options() {
  echo -DGGML_CUDA=OFF -DGGML_VULKAN=OFF -DGGML_METAL=OFF -DGGML_BLAS=OFF \
    -DGGML_NATIVE=OFF "-DGGML_CPU_ARM_ARCH=$DW_ARM64_LEVEL" "-DCMAKE_TOOLCHAIN_FILE=$(arm64_sysroot)/toolchain.cmake"
}
cpu_identity() { echo "$DW_ARM64_LEVEL" && basename "$(arm64_sysroot)"; }
compiler_identity() { clang-19 --version | head -n 1; }

arm64_sysroot() {
  echo "$DW_CACHE/deps/sysroot-arm64-$( (echo "$DW_ARM64_PACKAGES" && cat "$DW_ARM64_TOOLCHAIN" &&
    cat /etc/debian_version && declare -f arm64_sysroot_packages) | short_hash)"
}
wasmtime_prefix() { echo "$DW_CACHE/deps/wasmtime-arm64-$(wasmtime_key)"; }

# apt with lists and a state of its own, in which no package is installed: the system's are not touched.
arm64_apt() { # WORK ARGUMENTS...
  local work=$1
  shift
  APT_CONFIG=$work/apt.conf apt-get "$@"
}
arm64_sysroot_packages() {
  local work=$1 stage=$2 package link
  have apt-get || die "The packages for arm64 come with apt-get, which is not here."
  rm -rf "$work/apt"
  mkdir -p "$work/apt/lists/partial" "$work/apt/archives/partial" "$stage/root"
  : >"$work/apt/status"
  cat >"$work/apt.conf" <<CONF
Dir::State::lists "$work/apt/lists";
Dir::State::status "$work/apt/status";
Dir::Cache "$work/apt";
Dir::Cache::archives "$work/apt/archives";
APT::Architecture "arm64";
APT::Architectures { "arm64"; };
APT::Sandbox::User "";
CONF
  run_logged arm64-lists arm64_apt "$work" update
  # shellcheck disable=SC2086
  run_logged arm64-packages arm64_apt "$work" install -y --download-only --no-install-recommends $DW_ARM64_PACKAGES
  for package in "$work"/apt/archives/*.deb; do dpkg-deb --extract "$package" "$stage/root"; done
  # Those of libraries would lead out of the sysroot, and the linker take a static one instead.
  find "$stage/root" -type l -lname '/*' | while read -r link; do
    ln -sfnr "$stage/root$(readlink "$link")" "$link"
  done
  cp "$DW_ARM64_TOOLCHAIN" "$stage/toolchain.cmake"
}

# PIP_PLATFORM: pip's own way to ask for another machine's wheel.
arm64_wasmtime() { PIP_PLATFORM=manylinux2014_aarch64 prebuilt_wasmtime "$@"; }

# build_arm64 DIR TARGET...: configures, and builds the targets. One step.
build_arm64() {
  local dir=$1 DW_LOGS=$DW_ROOT/build/logs
  shift
  step "Driftwood for arm64"
  run_logged configure-arm64 cmake -G Ninja -S "$DW_ROOT" -B "$DW_ROOT/$dir" -DCMAKE_BUILD_TYPE=Release \
    -DCMAKE_TOOLCHAIN_FILE="$(arm64_sysroot)/toolchain.cmake" \
    -DCMAKE_FIND_ROOT_PATH="$(ggml_prefix);$(wasmtime_prefix)" \
    -DDRIFTWOOD_BUILD_TESTS=ON -DDRIFTWOOD_BUILD_BENCH=OFF
  run_logged build-arm64 cmake --build "$DW_ROOT/$dir" --parallel "$(job_count)" --target "$@"
}

# make_arm64_dependencies: three steps.
make_arm64_dependencies() {
  step "Debian's packages for arm64"
  make_result "$(arm64_sysroot)" arm64_sysroot_packages
  step "Wasmtime for arm64"
  make_result "$(wasmtime_prefix)" arm64_wasmtime
  step "ggml and libllama for arm64"
  make_result "$(ggml_prefix)" build_ggml
}
