# How a library or program of ours is declared.
include(GNUInstallDirs)

# Lets the functions below take their name first, or after NAME.
macro(driftwood_named_arguments arguments)
  list(GET ${arguments} 0 first)
  if(NOT first STREQUAL "NAME")
    list(PREPEND ${arguments} NAME)
  endif()
endmacro()

# Leaves out sources that are not written yet, with a warning.
function(driftwood_existing list)
  set(existing "")
  foreach(source IN LISTS ${list})
    if(source MATCHES "^/" OR EXISTS "${CMAKE_CURRENT_SOURCE_DIR}/${source}")
      list(APPEND existing "${source}")
    else()
      message(WARNING "${CMAKE_CURRENT_SOURCE_DIR}/${source} is missing")
    endif()
  endforeach()
  if(NOT existing)
    file(TOUCH "${CMAKE_CURRENT_BINARY_DIR}/empty.cpp")
    set(existing "${CMAKE_CURRENT_BINARY_DIR}/empty.cpp")
  endif()
  set(${list} "${existing}" PARENT_SCOPE)
endfunction()

# driftwood_library(core SOURCES error.cpp ... [DEPENDS memory spdlog::spdlog ...] [PRIVATE_DEPENDS ...])
#
# The static library driftwood_<name>, alias driftwood::<name>, of the folder src/<name>. Includes are written from
# src/: "core/error.hpp". DEPENDS are link dependencies, ours by their folder's name (core) or any CMake target.
function(driftwood_library)
  driftwood_named_arguments(ARGN)
  cmake_parse_arguments(arg "" "NAME" "SOURCES;DEPENDS;LIBRARIES;PRIVATE_DEPENDS" ${ARGN})
  set(target "driftwood_${arg_NAME}")
  driftwood_existing(arg_SOURCES)
  add_library(${target} STATIC ${arg_SOURCES})
  set_target_properties(${target} PROPERTIES LINKER_LANGUAGE CXX)
  add_library(driftwood::${arg_NAME} ALIAS ${target})
  target_include_directories(${target} PUBLIC "${PROJECT_SOURCE_DIR}/src" "${PROJECT_SOURCE_DIR}/include")
  target_link_libraries(${target} PRIVATE driftwood_options)
  driftwood_link(${target} PUBLIC ${arg_DEPENDS} ${arg_LIBRARIES})
  driftwood_link(${target} PRIVATE ${arg_PRIVATE_DEPENDS})
endfunction()

# driftwood_program(driftwood SOURCES main.cpp ... LIBS actor ... [INSTALL])
#
# An executable of that name. With INSTALL, `cmake --install` installs it, and beside it the Wasmtime library where that
# is a shared one of ours; it is found by its place relative to the program.
function(driftwood_program)
  driftwood_named_arguments(ARGN)
  cmake_parse_arguments(arg "INSTALL" "NAME" "SOURCES;LIBS;DEPENDS" ${ARGN})
  driftwood_existing(arg_SOURCES)
  add_executable(${arg_NAME} ${arg_SOURCES})
  target_include_directories(${arg_NAME} PRIVATE "${CMAKE_CURRENT_SOURCE_DIR}")
  target_link_libraries(${arg_NAME} PRIVATE driftwood_options)
  driftwood_link(${arg_NAME} PRIVATE ${arg_LIBS} ${arg_DEPENDS})
  if(arg_INSTALL)
    install(TARGETS ${arg_NAME} RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
    if(DRIFTWOOD_OWN_WASMTIME MATCHES "\\.(so|dylib)$")
      set(folder "${CMAKE_INSTALL_LIBDIR}/driftwood")
      install(PROGRAMS "${DRIFTWOOD_OWN_WASMTIME}" DESTINATION "${folder}")
      cmake_path(RELATIVE_PATH folder BASE_DIRECTORY "${CMAKE_INSTALL_BINDIR}" OUTPUT_VARIABLE from_program)
      set_target_properties(${arg_NAME} PROPERTIES
        INSTALL_RPATH "$<IF:$<BOOL:${APPLE}>,@loader_path,$ORIGIN>/${from_program}")
    endif()
  endif()
endfunction()

# Links names of our own folders (core) and other targets (spdlog::spdlog) alike.
function(driftwood_link target scope)
  foreach(dependency IN LISTS ARGN)
    if(dependency IN_LIST DRIFTWOOD_LAYERS AND NOT EXISTS "${PROJECT_SOURCE_DIR}/src/${dependency}/CMakeLists.txt")
      message(WARNING "src/${dependency} is not written yet")
    elseif(dependency IN_LIST DRIFTWOOD_LAYERS)
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
