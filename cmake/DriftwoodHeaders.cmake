# The target driftwood_headers_alone compiles every header of src/, include/ and apps/ as the only one of a source.

function(driftwood_headers_alone)
  set(sources "")
  foreach(folder IN ITEMS src include apps)
    file(GLOB_RECURSE headers CONFIGURE_DEPENDS RELATIVE "${PROJECT_SOURCE_DIR}" "${PROJECT_SOURCE_DIR}/${folder}/*.hpp")
    if(NOT DRIFTWOOD_CUDA_MODULE)  # they need CUDA's
      list(FILTER headers EXCLUDE REGEX "^src/device/cuda/")
    endif()
    foreach(header IN LISTS headers)
      set(source "${PROJECT_BINARY_DIR}/headers_alone/${header}.cpp")
      # Twice, so that a missing include guard shows as well.
      file(CONFIGURE OUTPUT "${source}" CONTENT
        "#include \"${PROJECT_SOURCE_DIR}/${header}\"\n#include \"${PROJECT_SOURCE_DIR}/${header}\"\n")
      if(header MATCHES "^src/embed/")
        set_source_files_properties("${source}" PROPERTIES COMPILE_DEFINITIONS DRIFTWOOD_BUILDING_LIBRARY)
      endif()
      list(APPEND sources "${source}")
    endforeach()
  endforeach()
  if(NOT sources)
    return()
  endif()
  add_library(driftwood_headers_alone OBJECT EXCLUDE_FROM_ALL ${sources})
  target_include_directories(driftwood_headers_alone PRIVATE
    "${PROJECT_SOURCE_DIR}/src" "${PROJECT_SOURCE_DIR}/include" "${PROJECT_BINARY_DIR}/include"
    "${PROJECT_SOURCE_DIR}/apps/driftwood")
  target_link_libraries(driftwood_headers_alone PRIVATE
    driftwood_options driftwood::llama driftwood::wasmtime fmt::fmt spdlog::spdlog nlohmann_json::nlohmann_json
    CLI11::CLI11 OpenSSL::Crypto SQLite::SQLite3 driftwood::hwy)
  foreach(layer IN LISTS DRIFTWOOD_LAYERS)
    if(TARGET driftwood::${layer})
      target_link_libraries(driftwood_headers_alone PRIVATE driftwood::${layer})
    endif()
  endforeach()
endfunction()
