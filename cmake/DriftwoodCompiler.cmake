# Language, warnings, sanitizers and ccache for everything that is ours.

set(CMAKE_CXX_STANDARD 23)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_C_STANDARD 17)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)

if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
  set(CMAKE_BUILD_TYPE RelWithDebInfo CACHE STRING "Build type" FORCE)
endif()

if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 12)
  message(FATAL_ERROR "GCC ${CMAKE_CXX_COMPILER_VERSION} is too old: Driftwood needs GCC 12 or Clang 17 (std::expected).")
endif()

# ccache, across checkouts too: unless the user has set it otherwise, paths count from this checkout.
find_program(CCACHE_PROGRAM ccache)
if(CCACHE_PROGRAM AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(launcher "${CCACHE_PROGRAM}")
  execute_process(COMMAND ${CCACHE_PROGRAM} --get-config base_dir
    OUTPUT_VARIABLE base_dir OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
  if(base_dir STREQUAL "")
    set(launcher ${CMAKE_COMMAND} -E env "CCACHE_BASEDIR=${PROJECT_SOURCE_DIR}" CCACHE_NOHASHDIR=1 ${launcher})
  endif()
  set(CMAKE_C_COMPILER_LAUNCHER ${launcher})
  set(CMAKE_CXX_COMPILER_LAUNCHER ${launcher})
endif()

if(APPLE) # Homebrew keeps these out of the way of the system's own
  find_program(BREW brew)
  foreach(formula IN ITEMS openssl@3 llvm)
    execute_process(COMMAND ${BREW} --prefix ${formula} OUTPUT_VARIABLE prefix OUTPUT_STRIP_TRAILING_WHITESPACE)
    if(formula STREQUAL "llvm")
      set(DRIFTWOOD_BREW_LLVM "${prefix}")
    else()
      list(APPEND CMAKE_PREFIX_PATH "${prefix}")
    endif()
  endforeach()
endif()

find_package(Threads REQUIRED)

# What each of our targets links: warnings and sanitizers, but nothing that a dependency would be built with.
add_library(driftwood_options INTERFACE)
target_compile_options(driftwood_options INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor -Woverloaded-virtual -Wcast-align -Wnull-dereference
  -Wconversion -Wno-sign-conversion -Wimplicit-fallthrough -Wundef)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  target_compile_options(driftwood_options INTERFACE
    -Wno-restrict              # false alarms in GCC 12's own std::string (its bug 105651)
    -Wno-null-dereference      # false alarms inside libstdc++ at -O2
    -Wno-missing-field-initializers)  # designated initializers leave the defaults on purpose
endif()
if(DRIFTWOOD_WERROR)
  target_compile_options(driftwood_options INTERFACE -Werror)
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU") # what it guesses about inlined library code at -O3 is often wrong
    target_compile_options(driftwood_options INTERFACE -Wno-error=stringop-overflow -Wno-error=stringop-overread
      -Wno-error=array-bounds -Wno-error=maybe-uninitialized -Wno-error=free-nonheap-object)
  endif()
endif()
if(DRIFTWOOD_BUILD_FUZZERS)
  target_compile_options(driftwood_options INTERFACE -fsanitize=fuzzer-no-link)
endif()
if(DRIFTWOOD_SANITIZE)
  target_compile_options(driftwood_options INTERFACE -fsanitize=${DRIFTWOOD_SANITIZE} -fno-omit-frame-pointer)
  target_link_options(driftwood_options INTERFACE -fsanitize=${DRIFTWOOD_SANITIZE})
  if(DRIFTWOOD_SANITIZE MATCHES "undefined")
    # The check of objects' types needs a pipe, and takes one that it does not get for a fault; tests use up descriptors.
    target_compile_options(driftwood_options INTERFACE -fno-sanitize-recover=undefined -fno-sanitize=vptr)
  endif()
endif()

# What each of our programs links: those, and the options that sanitizers run with.
add_library(driftwood_program_options INTERFACE)
target_link_libraries(driftwood_program_options INTERFACE driftwood_options)
if(DRIFTWOOD_SANITIZE)
  add_library(driftwood_sanitizer_options OBJECT "${PROJECT_SOURCE_DIR}/tests/support/sanitizer_options.cpp")
  target_sources(driftwood_program_options INTERFACE $<TARGET_OBJECTS:driftwood_sanitizer_options>)
endif()
