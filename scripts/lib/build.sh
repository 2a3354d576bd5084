# shellcheck shell=bash
# Set-up and build as the other scripts need them. Brings in the rest of scripts/lib.
DW_LIB=$(dirname "${BASH_SOURCE[0]}")
source "$DW_LIB/common.sh"
source "$DW_LIB/cargo.sh"
source "$DW_LIB/packages.sh"
source "$DW_LIB/third_party.sh"

# set_up GROUP...: packages and dependencies. Three steps. With the group test, build() builds the tests too, and with
# DRIFTWOOD_DEVICES the devices that it names.
set_up() {
  DW_CONFIGURE=()
  case " $* " in *" test "*) DW_CONFIGURE+=(-DDRIFTWOOD_BUILD_TESTS=ON) ;; esac
  if [ -n "$DW_DEVICES" ]; then DW_CONFIGURE+=("-DDRIFTWOOD_DEVICES=${DW_DEVICES// /;}"); fi
  case " $DW_DEVICES " in *" vulkan "*) set -- "$@" vulkan ;; esac
  install_packages "$@"
  make_dependencies
}

# build PRESET [TARGET...]: configures, and builds the targets or everything. One step.
build() {
  local preset=$1 DW_LOGS=$DW_ROOT/build/logs
  shift
  step "Driftwood, preset $preset"
  run_logged "configure-$preset" cmake --preset "$preset" ${DW_CONFIGURE[@]+"${DW_CONFIGURE[@]}"}
  set -- ${1:+--target} "$@"
  run_logged "build-$preset" cmake --build --preset "$preset" --parallel "$(job_count)" "$@"
}

# Fetches the default model where it is missing, and sets DW_MODEL to its file. One step.
need_model() {
  step "the default model"
  DW_MODEL=$("$DW_ROOT/scripts/fetch-model.sh")
}
