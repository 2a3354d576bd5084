# Finds Wasmtime's C API, which comes without CMake files of its own: Wasmtime_FOUND, Wasmtime_VERSION,
# Wasmtime_LIBRARY, Wasmtime_INCLUDE_DIR and the target driftwood::wasmtime. Wasmtime_ROOT says where to look first.

unset(Wasmtime_INCLUDE_DIR CACHE)
unset(Wasmtime_LIBRARY CACHE)
find_path(Wasmtime_INCLUDE_DIR wasmtime/conf.h)
find_library(Wasmtime_LIBRARY wasmtime)

set(Wasmtime_VERSION "")
if(Wasmtime_INCLUDE_DIR)
  file(STRINGS "${Wasmtime_INCLUDE_DIR}/wasmtime.h" version_line REGEX "define WASMTIME_VERSION \"")
  string(REGEX MATCH "[0-9]+\\.[0-9]+\\.[0-9]+" Wasmtime_VERSION "${version_line}")
endif()

# Only the same major version has the same API.
if(Wasmtime_FIND_VERSION_MAJOR AND NOT Wasmtime_VERSION MATCHES "^${Wasmtime_FIND_VERSION_MAJOR}\\.")
  unset(Wasmtime_LIBRARY CACHE)
  unset(Wasmtime_LIBRARY)
endif()

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(Wasmtime
  REQUIRED_VARS Wasmtime_LIBRARY Wasmtime_INCLUDE_DIR VERSION_VAR Wasmtime_VERSION)

if(Wasmtime_FOUND AND NOT TARGET driftwood::wasmtime)
  find_package(Threads REQUIRED)
  if(Wasmtime_LIBRARY MATCHES "\\.a$")
    add_library(driftwood::wasmtime STATIC IMPORTED GLOBAL)
    target_link_libraries(driftwood::wasmtime INTERFACE Threads::Threads ${CMAKE_DL_LIBS} m)
    if(APPLE)
      target_link_libraries(driftwood::wasmtime INTERFACE "-framework CoreFoundation")
    endif()
  else()
    add_library(driftwood::wasmtime SHARED IMPORTED GLOBAL)
    # Rust's library names no SONAME, so that it must be linked with -l for a binary not to remember the full path.
    set_target_properties(driftwood::wasmtime PROPERTIES IMPORTED_NO_SONAME ON)
    if(APPLE)
      set_target_properties(driftwood::wasmtime PROPERTIES
        IMPORTED_NO_SONAME OFF IMPORTED_SONAME "@rpath/libwasmtime.dylib")
    endif()
  endif()
  set_target_properties(driftwood::wasmtime PROPERTIES
    IMPORTED_LOCATION "${Wasmtime_LIBRARY}"
    INTERFACE_INCLUDE_DIRECTORIES "${Wasmtime_INCLUDE_DIR}")
endif()
mark_as_advanced(Wasmtime_LIBRARY Wasmtime_INCLUDE_DIR)
