# Guests in languages whose tools are optional. Where they are missing, go_probe_wasm or rust_probe_wasm is empty and
# go_probe_missing or rust_probe_missing says what to install.
if(NOT DRIFTWOOD_BUILD_GUESTS)
  return()
endif()

option(DRIFTWOOD_REQUIRE_GO "Fail where there is no Go for the guest in tests" OFF)

# ---- Go exports functions to WebAssembly from 1.24 on. scripts/test.sh names one that it installed.
set(go_probe_missing "Go 1.24 or newer is not installed.")
find_program(DRIFTWOOD_GO go HINTS /usr/local/go/bin DOC "Go for the guest in tests")
if(DRIFTWOOD_GO)
  execute_process(COMMAND "${DRIFTWOOD_GO}" env GOVERSION
    OUTPUT_VARIABLE go_version OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
  string(REGEX MATCH "[0-9]+\\.[0-9]+" go_version "${go_version}")
  if(go_version VERSION_GREATER_EQUAL 1.24)
    set(go_probe_wasm "${CMAKE_CURRENT_BINARY_DIR}/go_probe.wasm")
    # Nothing of the user's settings, and nothing outside the build folder; the network is not asked.
    add_custom_command(OUTPUT "${go_probe_wasm}"
      COMMAND ${CMAKE_COMMAND} -E env GOOS=wasip1 GOARCH=wasm GO111MODULE=off GOTOOLCHAIN=local GOPROXY=off
        GOENV=off GOFLAGS= --unset=GOROOT "GOPATH=${CMAKE_CURRENT_BINARY_DIR}/go"
        "GOCACHE=${CMAKE_CURRENT_BINARY_DIR}/go/cache"
        "${DRIFTWOOD_GO}" build -buildmode=c-shared -trimpath -o "${go_probe_wasm}"
        "${CMAKE_CURRENT_SOURCE_DIR}/go_probe/main.go"
      DEPENDS go_probe/main.go COMMENT "Building guest go_probe.wasm" VERBATIM)
    add_custom_target(guest_go_probe DEPENDS "${go_probe_wasm}")
  endif()
endif()
if(DRIFTWOOD_REQUIRE_GO AND NOT go_probe_wasm)
  message(FATAL_ERROR "${go_probe_missing}")
endif()

# ---- Rust: a compiler with its standard library for WASI, be it rustup's target or Debian's libstd-rust-dev-wasm32,
# whose libraries only the linker of its time reads. scripts/setup.sh installs neither: Debian's is for its own rustc,
# which cannot lie beside the newer one that comes with cargo-web.
set(rust_probe_missing "No rustc with the target wasm32-wasip1 or wasm32-wasi is installed.")
foreach(folder IN ITEMS "$ENV{CARGO_HOME}/bin" "$ENV{HOME}/.cargo/bin" /usr/local/bin /usr/bin)
  foreach(target IN ITEMS wasm32-wasip1 wasm32-wasi)
    if(rust_probe_wasm OR NOT EXISTS "${folder}/rustc")
      continue()
    endif()
    execute_process(COMMAND "${folder}/rustc" --target ${target} --print sysroot
      OUTPUT_VARIABLE sysroot OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET RESULT_VARIABLE status)
    if(NOT status EQUAL 0 OR NOT EXISTS "${sysroot}/lib/rustlib/${target}/lib")
      continue()
    endif()
    set(linker "")
    if(target STREQUAL "wasm32-wasi")
      find_program(DRIFTWOOD_OLD_WASM_LD NAMES wasm-ld-14 wasm-ld-15 DOC "Linker for Debian 12's Rust libraries")
      if(NOT DRIFTWOOD_OLD_WASM_LD)
        set(rust_probe_missing "Debian's Rust needs wasm-ld-14 (package lld-14) to link for wasm32-wasi.")
        continue()
      endif()
      set(linker "-Clinker=${DRIFTWOOD_OLD_WASM_LD}")
    endif()
    set(rust_probe_wasm "${CMAKE_CURRENT_BINARY_DIR}/rust_probe.wasm")
    add_custom_command(OUTPUT "${rust_probe_wasm}"
      COMMAND "${folder}/rustc" --target ${target} --crate-type cdylib -O -Cstrip=debuginfo ${linker}
        -o "${rust_probe_wasm}" "${CMAKE_CURRENT_SOURCE_DIR}/rust_probe.rs"
      DEPENDS rust_probe.rs COMMENT "Building guest rust_probe.wasm" COMMAND_EXPAND_LISTS VERBATIM)
    add_custom_target(guest_rust_probe DEPENDS "${rust_probe_wasm}")
  endforeach()
endforeach()

set(go_probe_wasm "${go_probe_wasm}" PARENT_SCOPE)
set(go_probe_missing "${go_probe_missing}" PARENT_SCOPE)
set(rust_probe_wasm "${rust_probe_wasm}" PARENT_SCOPE)
set(rust_probe_missing "${rust_probe_missing}" PARENT_SCOPE)
