# Finds every dependency and gives the large ones names of ours:
#   driftwood::wasmtime   Wasmtime's C API, 48.x
#   driftwood::ggml       ggml (0.26 or newer) and its CPU back end, in link order
#   driftwood::llama      libllama: tokenizers, chat templates, and the yardstick of tests and benchmarks
#   DRIFTWOOD_VULKAN_MODULE   where DRIFTWOOD_DEVICES has vulkan: the file of ggml's back end for it; likewise
#   DRIFTWOOD_CUDA_MODULE and DRIFTWOOD_METAL_MODULE
# A system package is used where it fits, else what scripts/deps.sh built.
#
# The small ones are the system's: fmt::fmt, spdlog::spdlog, nlohmann_json::nlohmann_json, CLI11::CLI11,
# OpenSSL::Crypto, SQLite::SQLite3, driftwood::zstd, driftwood::hwy.

option(DRIFTWOOD_SYSTEM_WASMTIME "Use the system's Wasmtime where there is one that fits" ON)
option(DRIFTWOOD_SYSTEM_GGML "Use the system's ggml and libllama where there are ones that fit" ON)
set(DRIFTWOOD_WASMTIME "prebuilt" CACHE STRING "Which Wasmtime of scripts/deps.sh to use: prebuilt or source")
set_property(CACHE DRIFTWOOD_WASMTIME PROPERTY STRINGS prebuilt source)
if(DEFINED ENV{DRIFTWOOD_WASMTIME})
  set(DRIFTWOOD_WASMTIME "$ENV{DRIFTWOOD_WASMTIME}" CACHE STRING "" FORCE)
endif()

# Asks scripts/deps.sh for the folder of one built dependency. It is asked at each configure, since the answer follows
# the pins, the compiler and the machine.
function(driftwood_deps_prefix name result)
  string(REPLACE ";" " " devices "${DRIFTWOOD_DEVICES}")
  execute_process(
    COMMAND ${CMAKE_COMMAND} -E env "DRIFTWOOD_DEVICES=${devices}"
      "DRIFTWOOD_WASMTIME=${DRIFTWOOD_WASMTIME}" "${PROJECT_SOURCE_DIR}/scripts/deps.sh" --print-prefix ${name}
    OUTPUT_VARIABLE prefix OUTPUT_STRIP_TRAILING_WHITESPACE
    ERROR_VARIABLE why ERROR_STRIP_TRAILING_WHITESPACE
    RESULT_VARIABLE status)
  if(NOT status EQUAL 0)
    set(hint "")
    if(devices)
      set(hint "DRIFTWOOD_DEVICES=\"${devices}\" ")
    endif()
    if(NOT DRIFTWOOD_WASMTIME STREQUAL "prebuilt")
      string(APPEND hint "DRIFTWOOD_WASMTIME=${DRIFTWOOD_WASMTIME} ")
    endif()
    message(FATAL_ERROR "The dependency ${name} is not built yet. Run:\n  ${hint}scripts/setup.sh\n${why}")
  endif()
  set(${result} "${prefix}" PARENT_SCOPE)
endfunction()
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS
  "${PROJECT_SOURCE_DIR}/scripts/lib/third_party.sh" "${PROJECT_SOURCE_DIR}/third_party/Cargo.lock"
  "${PROJECT_SOURCE_DIR}/third_party/requirements.txt")

# ---- Wasmtime
if(DRIFTWOOD_SYSTEM_WASMTIME)
  find_package(Wasmtime 48 QUIET)
endif()
if(NOT Wasmtime_FOUND)
  driftwood_deps_prefix(wasmtime Wasmtime_ROOT)
  find_package(Wasmtime 48 REQUIRED)
  set(DRIFTWOOD_OWN_WASMTIME "${Wasmtime_LIBRARY}")
endif()
message(STATUS "Wasmtime ${Wasmtime_VERSION}: ${Wasmtime_LIBRARY}")

# ---- ggml and libllama, which belong together
if(DRIFTWOOD_SYSTEM_GGML)
  find_package(ggml 0.26 CONFIG QUIET)
  if(ggml_FOUND)
    find_package(llama CONFIG QUIET)
  endif()
endif()
if(NOT (ggml_FOUND AND llama_FOUND))
  driftwood_deps_prefix(ggml ggml_prefix)
  foreach(package IN ITEMS ggml llama)
    unset(${package}_DIR CACHE)
    find_package(${package} CONFIG REQUIRED PATHS "${ggml_prefix}" NO_DEFAULT_PATH)
  endforeach()
endif()
message(STATUS "ggml ${ggml_VERSION}: ${GGML_LIBRARY}")

add_library(driftwood_ggml INTERFACE)
add_library(driftwood::ggml ALIAS driftwood_ggml)
# The package lists the base before the back ends that need it; named again, it also stands after them.
target_link_libraries(driftwood_ggml INTERFACE ggml::ggml ggml::all ggml::ggml-base Threads::Threads ${CMAKE_DL_LIBS})

add_library(driftwood_llama INTERFACE)
add_library(driftwood::llama ALIAS driftwood_llama)
target_link_libraries(driftwood_llama INTERFACE llama driftwood::ggml)

# ---- ggml's back ends for other devices, each a module of its own
if("vulkan" IN_LIST DRIFTWOOD_DEVICES)
  driftwood_deps_prefix(vulkan vulkan_prefix)
  set(DRIFTWOOD_VULKAN_MODULE "${vulkan_prefix}/lib/driftwood-vulkan.so")
  message(STATUS "Vulkan: ${DRIFTWOOD_VULKAN_MODULE}")
  # Its C headers only, for what is asked of the driver before the module is loaded.
  find_path(DRIFTWOOD_VULKAN_HEADERS vulkan/vulkan_core.h REQUIRED)
endif()

if("metal" IN_LIST DRIFTWOOD_DEVICES)
  driftwood_deps_prefix(metal metal_prefix)
  set(DRIFTWOOD_METAL_MODULE "${metal_prefix}/lib/driftwood-metal.so")
  message(STATUS "Metal: ${DRIFTWOOD_METAL_MODULE}")
endif()

if("cuda" IN_LIST DRIFTWOOD_DEVICES)
  driftwood_deps_prefix(cuda cuda_prefix)
  set(DRIFTWOOD_CUDA_MODULE "${cuda_prefix}/lib/driftwood-cuda.so")
  set(DRIFTWOOD_CUDA_HEADERS "${cuda_prefix}/include")
  message(STATUS "CUDA: ${DRIFTWOOD_CUDA_MODULE}")
  if(NOT CMAKE_CUDA_ARCHITECTURES)
    set(CMAKE_CUDA_ARCHITECTURES native)
  endif()
  enable_language(CUDA)
  find_package(CUDAToolkit REQUIRED)
endif()

# ---- the system's
find_package(fmt REQUIRED)
find_package(spdlog REQUIRED)
find_package(nlohmann_json 3.11 REQUIRED)
find_package(CLI11 REQUIRED)
find_package(OpenSSL 3 REQUIRED COMPONENTS Crypto)
find_package(SQLite3 3.35 REQUIRED)
find_package(PkgConfig REQUIRED)
pkg_check_modules(hwy REQUIRED IMPORTED_TARGET libhwy)
add_library(driftwood::hwy ALIAS PkgConfig::hwy)
pkg_check_modules(zstd REQUIRED IMPORTED_TARGET libzstd)
add_library(driftwood::zstd ALIAS PkgConfig::zstd)
