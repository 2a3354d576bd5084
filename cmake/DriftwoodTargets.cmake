# How a library or program of ours is declared.
include(GNUInstallDirs)

# driftwood_library(core SOURCES error.cpp ... [DEPENDS memory spdlog::spdlog ...] [PRIVATE_DEPENDS ...])
#
# The static library driftwood_<name>, alias driftwood::<name>, of the folder src/<name>. Includes are written from
# src/: "core/error.hpp". DEPENDS are link dependencies, ours by their folder's name (core) or any CMake target.
function(driftwood_library name)
  cmake_parse_arguments(arg "" "" "SOURCES;DEPENDS;PRIVATE_DEPENDS" ${ARGN})
  set(target "driftwood_${name}")
  add_library(${target} STATIC ${arg_SOURCES})
  add_library(driftwood::${name} ALIAS ${target})
  target_include_directories(${target} PUBLIC "${PROJECT_SOURCE_DIR}/src" "${PROJECT_SOURCE_DIR}/include")
  target_link_libraries(${target} PRIVATE driftwood_options)
  driftwood_link(${target} PUBLIC ${arg_DEPENDS})
  driftwood_link(${target} PRIVATE ${arg_PRIVATE_DEPENDS})
endfunction()

# driftwood_program(driftwood SOURCES main.cpp ... LIBS actor ... [INSTALL])
#
# An executable of that name. With INSTALL, `cmake --install` installs it, and beside it the Wasmtime library where that
# is a shared one of ours; it is found by its place relative to the program.
function(driftwood_program name)
  cmake_parse_arguments(arg "INSTALL" "" "SOURCES;LIBS" ${ARGN})
  add_executable(${name} ${arg_SOURCES})
  # For quoted includes alone: a file of a program may be called like one of the standard library.
  target_compile_options(${name} PRIVATE "SHELL:-iquote ${CMAKE_CURRENT_SOURCE_DIR}")
  target_link_libraries(${name} PRIVATE driftwood_program_options)
  driftwood_link(${name} PRIVATE ${arg_LIBS})
  if(arg_INSTALL)
    install(TARGETS ${name} RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
    if(DRIFTWOOD_OWN_WASMTIME MATCHES "\\.(so|dylib)$")
      set(folder "${CMAKE_INSTALL_LIBDIR}/driftwood")
      install(PROGRAMS "${DRIFTWOOD_OWN_WASMTIME}" DESTINATION "${folder}")
      cmake_path(RELATIVE_PATH folder BASE_DIRECTORY "${CMAKE_INSTALL_BINDIR}" OUTPUT_VARIABLE from_program)
      set_target_properties(${name} PROPERTIES
        INSTALL_RPATH "$<IF:$<BOOL:${APPLE}>,@loader_path,$ORIGIN>/${from_program}")
    endif()
  endif()
endfunction()

# Links names of our own folders (core) and other targets (spdlog::spdlog) alike.
function(driftwood_link target scope)
  foreach(dependency IN LISTS ARGN)
    if(dependency IN_LIST DRIFTWOOD_LAYERS)
      target_link_libraries(${target} ${scope} driftwood::${dependency})
    else()
      target_link_libraries(${target} ${scope} ${dependency})
    endif()
  endforeach()
endfunction()
set(DRIFTWOOD_LAYERS core memory device wasm model llm snapshot hostcalls actor)

# driftwood_embed(TARGET FILE symbol)
#
# Puts a file's bytes into TARGET, aligned to 64 bytes, to be declared as
#   extern "C" const unsigned char symbol[];
#   extern "C" const std::size_t symbol_size;
# FILE is a path, which may be made by the build, or the target of a guest (guest_chat).
function(driftwood_embed target file symbol)
  if(TARGET ${file})
    add_dependencies(${target} ${file})
    get_target_property(file ${file} DRIFTWOOD_WASM)
  endif()
  cmake_path(ABSOLUTE_PATH file BASE_DIRECTORY "${CMAKE_CURRENT_BINARY_DIR}" NORMALIZE)
  set(assembly "${CMAKE_CURRENT_BINARY_DIR}/embed_${symbol}.S")
  file(CONFIGURE OUTPUT "${assembly}" @ONLY CONTENT [[
// The bytes of @file@.
#if defined(__APPLE__)
#define NAME(x) _##x
    .section __TEXT,__const
#else
#define NAME(x) x
    .section .rodata, "a"
#endif
    .globl NAME(@symbol@)
    .globl NAME(@symbol@_size)
    .balign 64
NAME(@symbol@):
    .incbin "@file@"
1:
    .byte 0
    .balign 8
NAME(@symbol@_size):
    .quad 1b - NAME(@symbol@)
#if defined(__linux__)
    .section .note.GNU-stack, "", %progbits
#endif
]])
  # As C, so that no assembler language has to be enabled. (ccache leaves sources with .incbin alone.)
  set_source_files_properties("${assembly}" PROPERTIES
    LANGUAGE C OBJECT_DEPENDS "${file}" COMPILE_OPTIONS "-xassembler-with-cpp")
  target_sources(${target} PRIVATE "${assembly}")
endfunction()
