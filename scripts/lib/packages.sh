# shellcheck shell=bash
# The packages that Driftwood needs, by group, and how they are installed. Needs common.sh and cargo.sh.
#   build  compilers, tools and libraries
#   test   GoogleTest and libFuzzer
#   check  clang-format, shellcheck
#   arm64  what runs programs for arm64
#   vulkan what ggml's kernels for Vulkan are built with, and Mesa's driver that runs them on the processor, for tests

debian_packages() { # GROUP LLVM
  local llvm=$2
  case "$1" in
    build)
      echo ca-certificates gcc g++ libc6-dev cmake ninja-build ccache pkg-config python3 python3-pip \
        libcli11-dev libspdlog-dev libfmt-dev nlohmann-json3-dev libssl-dev libhwy-dev libedit-dev \
        libsqlite3-dev libzstd-dev \
        "clang-$llvm" "lld-$llvm" "libclang-rt-$llvm-dev-wasm32" "libc++-$llvm-dev-wasm32" \
        "libc++abi-$llvm-dev-wasm32" wasi-libc
      find_cargo >/dev/null || debian_cargo
      ;;
    test) echo libgtest-dev libgmock-dev "libclang-rt-$llvm-dev" ;;
    check) echo "clang-format-$llvm" shellcheck ;;
    arm64) echo qemu-user ;;
    vulkan) echo glslc libvulkan-dev spirv-headers mesa-vulkan-drivers ;;
  esac
}

apt_knows() { [ -n "$(apt-cache policy "$1" 2>/dev/null | sed -n 's/^ *Candidate: \([^(]*\)$/\1/p')" ]; }

# 19 is what is tested; the neighbours are for distributions without it.
debian_llvm() {
  local version
  for version in 19 20 18 21; do
    if [ -e "/usr/lib/llvm-$version/lib/wasm32-wasi/libc++.a" ] || apt_knows "libc++-$version-dev-wasm32"; then
      echo "$version"
      return
    fi
  done
  echo 19
}

# A package with a cargo that is new enough: Debian's cargo-web, or Ubuntu's cargo with a version in its name.
debian_cargo() {
  local package
  for package in cargo-web $(apt-cache search --names-only '^cargo-1\.[0-9]+$' | cut -d' ' -f1 | sort -rV); do
    if apt_knows "$package"; then
      echo "$package"
      return
    fi
  done
  echo cargo
}

missing_debian_packages() { # GROUP...
  local group llvm wanted="" installed
  llvm=$(debian_llvm)
  for group in "$@"; do wanted="$wanted $(debian_packages "$group" "$llvm")"; done
  # shellcheck disable=SC2086
  installed=$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' $wanted 2>/dev/null | sed -n 's/^installed //p')
  # shellcheck disable=SC2086
  printf '%s\n' $wanted | sort -u | grep -vxF "$installed" || true
}

as_root() {
  if [ "$(id -u)" = 0 ]; then
    "$@"
  elif have sudo; then
    sudo "$@"
  else
    die "Packages are missing, and this is neither root nor is there sudo. As root, run: $*"
  fi
}

install_debian_packages() { # GROUP...
  local missing
  # What LLVM and cargo are called follows from apt's lists, so a bare machine needs the lists first.
  if ! have cmake && ! apt_knows cmake; then run_logged package-lists as_root apt-get update; fi
  missing=$(missing_debian_packages "$@" | tr '\n' ' ')
  if [ -z "$missing" ]; then
    say "all are installed"
    return
  fi
  say "installing $missing"
  run_logged package-lists as_root apt-get update
  # shellcheck disable=SC2086
  run_logged packages as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $missing
}

install_brew_packages() { # GROUP...
  local group wanted="" formula missing=""
  have brew || die "Homebrew is needed to install packages on macOS."
  for group in "$@"; do
    case "$group" in
      build) wanted="$wanted cmake ninja ccache pkgconf python cli11 spdlog fmt nlohmann-json openssl@3 highway \
        sqlite zstd llvm lld wasi-libc wasi-runtimes" && { find_cargo >/dev/null || wanted="$wanted rust"; } ;;
      test) wanted="$wanted googletest" ;;
      check) wanted="$wanted clang-format shellcheck" ;;
    esac
  done
  for formula in $wanted; do
    brew list --versions "$formula" >/dev/null 2>&1 || missing="$missing $formula"
  done
  if [ -z "$missing" ]; then
    say "all are installed"
    return
  fi
  say "installing$missing"
  # shellcheck disable=SC2086
  run_logged packages brew install $missing
}

# install_packages GROUP...: only what is missing. One step.
install_packages() {
  local group
  step "system packages for $*"
  for group in "$@"; do
    case "$group" in
      build | test | check | arm64 | vulkan) ;;
      *) die "There is no package group '$group'; there are build, test, check, arm64 and vulkan." ;;
    esac
  done
  if [ "$DW_OS" = Darwin ]; then
    install_brew_packages "$@"
  elif have apt-get; then
    install_debian_packages "$@"
  else
    warn "There is neither apt-get nor Homebrew here; the packages of scripts/lib/packages.sh have to be there already."
  fi
}
