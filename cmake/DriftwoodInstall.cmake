# What `cmake --install` installs beside the program (driftwood_program): the library with its headers and package, the
# guest SDK, the chat guest, the licence.
include(CMakePackageConfigHelpers)

install(TARGETS libdriftwood EXPORT driftwoodTargets
  LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} INCLUDES DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(DIRECTORY "${PROJECT_SOURCE_DIR}/include/driftwood" "${PROJECT_BINARY_DIR}/include/driftwood"
  DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN "*.hpp")
# Wasmtime, where it is ours, lies where driftwood_program puts it.
if(DRIFTWOOD_OWN_WASMTIME MATCHES "\\.(so|dylib)$")
  set_target_properties(libdriftwood PROPERTIES
    INSTALL_RPATH "$<IF:$<BOOL:${APPLE}>,@loader_path,$ORIGIN>/driftwood")
endif()

# What the program and the library load when a device is first asked for, beside Wasmtime.
foreach(module IN ITEMS "${DRIFTWOOD_CUDA_MODULE}" "${DRIFTWOOD_METAL_MODULE}" "${DRIFTWOOD_VULKAN_MODULE}")
  if(module)
    cmake_path(GET module PARENT_PATH modules)
    install(DIRECTORY "${modules}/" DESTINATION "${CMAKE_INSTALL_LIBDIR}/driftwood" USE_SOURCE_PERMISSIONS)
  endif()
endforeach()

set(package "${CMAKE_INSTALL_LIBDIR}/cmake/driftwood")
set(DRIFTWOOD_DATADIR "${CMAKE_INSTALL_DATADIR}/driftwood")
install(EXPORT driftwoodTargets NAMESPACE driftwood:: DESTINATION "${package}")
configure_package_config_file(
  "${PROJECT_SOURCE_DIR}/cmake/driftwoodConfig.cmake.in" "${PROJECT_BINARY_DIR}/cmake/driftwoodConfig.cmake"
  INSTALL_DESTINATION "${package}" PATH_VARS DRIFTWOOD_DATADIR)
# While it begins with 0, each minor version may change the interface.
write_basic_package_version_file("${PROJECT_BINARY_DIR}/cmake/driftwoodConfigVersion.cmake"
  COMPATIBILITY SameMinorVersion)
install(FILES
  "${PROJECT_BINARY_DIR}/cmake/driftwoodConfig.cmake" "${PROJECT_BINARY_DIR}/cmake/driftwoodConfigVersion.cmake"
  DESTINATION "${package}")

install(FILES "${PROJECT_SOURCE_DIR}/sdk/c/driftwood.h" DESTINATION "${DRIFTWOOD_DATADIR}/sdk/c")
install(DIRECTORY "${PROJECT_SOURCE_DIR}/sdk/cpp/driftwood" DESTINATION "${DRIFTWOOD_DATADIR}/sdk/cpp")
if(DRIFTWOOD_BUILD_GUESTS)
  install(FILES "$<TARGET_PROPERTY:guest_chat,DRIFTWOOD_WASM>" DESTINATION "${DRIFTWOOD_DATADIR}/guests")
endif()
install(FILES "${PROJECT_SOURCE_DIR}/LICENSE" DESTINATION ${CMAKE_INSTALL_DOCDIR})
