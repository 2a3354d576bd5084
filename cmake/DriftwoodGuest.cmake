# Compiles guests to WebAssembly (wasm32-wasi) with clang, beside the host's compiler.

find_program(DRIFTWOOD_GUEST_CXX NAMES clang++-19 clang++-20 clang++-18 clang++-21 clang++
  HINTS "$ENV{WASI_SDK_PATH}/bin" "${DRIFTWOOD_BREW_LLVM}/bin"
  DOC "clang++ for the guests")
set(DRIFTWOOD_PREBUILT_GUESTS "" CACHE PATH
  "Folder with the guests' .wasm files as another build made them, taken instead of compiling; empty: compile")
set(DRIFTWOOD_WASI_SYSROOT "$ENV{WASI_SYSROOT}" CACHE PATH "Sysroot for the guests; empty: where clang looks by itself")
if(APPLE AND NOT DRIFTWOOD_WASI_SYSROOT AND BREW)
  execute_process(COMMAND ${BREW} --prefix OUTPUT_VARIABLE prefix OUTPUT_STRIP_TRAILING_WHITESPACE)
  set(DRIFTWOOD_WASI_SYSROOT "${prefix}/share/wasi-sysroot")
endif()
if(DRIFTWOOD_BUILD_GUESTS AND NOT DRIFTWOOD_GUEST_CXX AND NOT DRIFTWOOD_PREBUILT_GUESTS)
  message(FATAL_ERROR "No clang++ was found to compile the guests with. Run scripts/setup.sh, or set "
    "DRIFTWOOD_GUEST_CXX, or leave the guests out with -DDRIFTWOOD_BUILD_GUESTS=OFF.")
endif()
string(REPLACE "clang++" "clang" DRIFTWOOD_GUEST_CC "${DRIFTWOOD_GUEST_CXX}")

set(DRIFTWOOD_GUEST_FLAGS
  --target=wasm32-wasi -O2 -g0 -fno-exceptions -Wall -Wextra -mbulk-memory -msimd128 -mnontrapping-fptoint -msign-ext)
if(DRIFTWOOD_WASI_SYSROOT)
  list(APPEND DRIFTWOOD_GUEST_FLAGS "--sysroot=${DRIFTWOOD_WASI_SYSROOT}")
endif()

# driftwood_guest(chat SOURCES chat.cpp ... [LINK cpp-sdk] [REACTOR] [INCLUDES dir ...] [FLAGS ...] [LINK_FLAGS ...])
#
# Makes the target guest_<name> and the file <name>.wasm in the current binary folder; its path is in the target's
# property DRIFTWOOD_WASM and, in the caller, in the variable guest_<name>. A guest is a command (`_start`), or with
# REACTOR a library of exports (`_initialize`, `driftwood_receive`). LINK names what driftwood_guest_library declared.
function(driftwood_guest name)
  cmake_parse_arguments(arg "REACTOR" "" "SOURCES;LINK;INCLUDES;FLAGS;LINK_FLAGS" ${ARGN})
  set(target "guest_${name}")
  set(wasm "${CMAKE_CURRENT_BINARY_DIR}/${name}.wasm")
  set(${target} "${wasm}" PARENT_SCOPE)
  if(NOT DRIFTWOOD_BUILD_GUESTS)
    return()
  endif()
  if(DRIFTWOOD_PREBUILT_GUESTS)
    add_custom_command(
      OUTPUT "${wasm}"
      COMMAND ${CMAKE_COMMAND} -E copy "${DRIFTWOOD_PREBUILT_GUESTS}/${name}.wasm" "${wasm}"
      DEPENDS "${DRIFTWOOD_PREBUILT_GUESTS}/${name}.wasm"
      COMMENT "Taking guest ${name}.wasm"
      VERBATIM)
    add_custom_target(${target} ALL DEPENDS "${wasm}")
    set_target_properties(${target} PROPERTIES DRIFTWOOD_WASM "${wasm}")
    return()
  endif()

  set(sources ${arg_SOURCES})
  list(TRANSFORM sources PREPEND "${CMAKE_CURRENT_SOURCE_DIR}/" REGEX "^[^/]")
  set(includes ${arg_INCLUDES})
  foreach(library IN LISTS arg_LINK)
    get_target_property(library_sources guest_library_${library} DRIFTWOOD_SOURCES)
    get_target_property(library_includes guest_library_${library} DRIFTWOOD_INCLUDES)
    list(APPEND sources ${library_sources})
    list(APPEND includes ${library_includes})
  endforeach()
  list(TRANSFORM includes PREPEND "-I")

  set(objects "")
  foreach(source IN LISTS sources)
    cmake_path(GET source FILENAME file_name)
    string(MD5 unique "${source}")
    string(SUBSTRING "${unique}" 0 6 unique)
    set(object "${CMAKE_CURRENT_BINARY_DIR}/${target}.dir/${file_name}.${unique}.o")
    if(source MATCHES "\\.c$")
      set(compiler "${DRIFTWOOD_GUEST_CC}" -std=c17)
    else()
      set(compiler "${DRIFTWOOD_GUEST_CXX}" -std=c++23 -fno-rtti)
    endif()
    cmake_path(RELATIVE_PATH object BASE_DIRECTORY "${CMAKE_BINARY_DIR}" OUTPUT_VARIABLE depfile_target)
    add_custom_command(
      OUTPUT "${object}"
      COMMAND ${CMAKE_COMMAND} -E make_directory "${CMAKE_CURRENT_BINARY_DIR}/${target}.dir"
      COMMAND ${CMAKE_CXX_COMPILER_LAUNCHER} ${compiler} ${DRIFTWOOD_GUEST_FLAGS} ${includes} ${arg_FLAGS}
        -MD -MF "${object}.d" -MT "${depfile_target}" -c "${source}" -o "${object}"
      DEPENDS "${source}" DEPFILE "${object}.d"
      COMMENT "Compiling guest ${name}: ${file_name}"
      COMMAND_EXPAND_LISTS VERBATIM)
    list(APPEND objects "${object}")
  endforeach()

  set(model "")
  if(arg_REACTOR)
    set(model -mexec-model=reactor)
  endif()
  add_custom_command(
    OUTPUT "${wasm}"
    COMMAND "${DRIFTWOOD_GUEST_CXX}" ${DRIFTWOOD_GUEST_FLAGS} ${model} ${objects} -Wl,--gc-sections ${arg_LINK_FLAGS}
      -o "${wasm}"
    DEPENDS ${objects}
    COMMENT "Linking guest ${name}.wasm"
    COMMAND_EXPAND_LISTS VERBATIM)
  add_custom_target(${target} ALL DEPENDS "${wasm}")
  set_target_properties(${target} PROPERTIES DRIFTWOOD_WASM "${wasm}")
endfunction()

# driftwood_guest_library(cpp-sdk SOURCES sampler.cpp ... INCLUDES sdk/cpp/include)
#
# Sources that several guests compile in, and the include folders that they need.
function(driftwood_guest_library name)
  cmake_parse_arguments(arg "" "" "SOURCES;INCLUDES" ${ARGN})
  foreach(list IN ITEMS arg_SOURCES arg_INCLUDES)
    list(TRANSFORM ${list} PREPEND "${CMAKE_CURRENT_SOURCE_DIR}/" REGEX "^[^/]")
  endforeach()
  add_custom_target(guest_library_${name} SOURCES ${arg_SOURCES})
  set_target_properties(guest_library_${name} PROPERTIES
    DRIFTWOOD_SOURCES "${arg_SOURCES}" DRIFTWOOD_INCLUDES "${arg_INCLUDES}")
endfunction()
