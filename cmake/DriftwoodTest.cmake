# How a test is declared. Labels say what a test needs: unit (nothing), device (a device, the CPU at least), e2e (the
# built program and the model), compat (stored files), fuzz.

find_package(GTest REQUIRED)
include(GoogleTest)

# driftwood_test(region SOURCES region_test.cpp LABEL unit LIBS memory [ENV NAME=value] [TIMEOUT seconds])
#
# A GoogleTest program whose tests ctest knows one by one. SOURCES is <name>_test.cpp unless given. ENV is one variable:
# of a list gtest_discover_tests would pass on the first alone.
function(driftwood_test name)
  cmake_parse_arguments(arg "" "LABEL;TIMEOUT;ENV" "SOURCES;LIBS" ${ARGN})
  if(NOT arg_LABEL MATCHES "^(unit|device|e2e|compat|fuzz)$")
    message(FATAL_ERROR "driftwood_test(${name}): LABEL (${arg_LABEL}) is not one of unit, device, e2e, compat, fuzz.")
  endif()
  if(NOT arg_SOURCES)
    set(arg_SOURCES ${name}_test.cpp)
  endif()
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 300)
  endif()
  set(target "${name}_test")
  add_executable(${target} ${arg_SOURCES})
  target_include_directories(${target} PRIVATE "${PROJECT_SOURCE_DIR}/tests")
  target_link_libraries(${target} PRIVATE driftwood_program_options GTest::gmock GTest::gtest GTest::gtest_main)
  driftwood_link(${target} PRIVATE ${arg_LIBS})
  gtest_discover_tests(${target}
    TEST_PREFIX "${arg_LABEL}/${name}/"
    NO_PRETTY_VALUES # what a test is run for has a name of its own: values may be shown as bytes
    DISCOVERY_MODE PRE_TEST
    DISCOVERY_TIMEOUT 60
    PROPERTIES LABELS ${arg_LABEL} TIMEOUT ${arg_TIMEOUT} ENVIRONMENT "${arg_ENV}")
endfunction()

# driftwood_script_test(readme COMMAND bash run.sh ... LABEL e2e [TIMEOUT seconds] [ENV ...])
function(driftwood_script_test name)
  cmake_parse_arguments(arg "" "LABEL;TIMEOUT" "COMMAND;ENV" ${ARGN})
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 300)
  endif()
  add_test(NAME "${arg_LABEL}/${name}" COMMAND ${arg_COMMAND})
  set_tests_properties("${arg_LABEL}/${name}" PROPERTIES
    LABELS ${arg_LABEL} TIMEOUT ${arg_TIMEOUT} ENVIRONMENT "${arg_ENV}")
endfunction()

# driftwood_fuzzer(context_header SOURCES context_header_fuzz.cpp LIBS llm [RUNS 20000])
#
# A libFuzzer program (LLVMFuzzerTestOneInput), in builds with DRIFTWOOD_BUILD_FUZZERS. As a test it makes a fixed number
# of runs from a fixed seed, beginning with the files of the folder corpus/<name> where there is one.
add_custom_target(driftwood_fuzzers)
function(driftwood_fuzzer name)
  cmake_parse_arguments(arg "" "RUNS" "SOURCES;LIBS" ${ARGN})
  if(NOT DRIFTWOOD_BUILD_FUZZERS)
    return()
  endif()
  if(NOT CMAKE_CXX_COMPILER_ID MATCHES "Clang")
    message(FATAL_ERROR "libFuzzer comes with clang; configure with the preset fuzz.")
  endif()
  if(NOT arg_SOURCES)
    set(arg_SOURCES ${name}_fuzz.cpp)
  endif()
  if(NOT arg_RUNS)
    set(arg_RUNS 20000)
  endif()
  set(target "${name}_fuzz")
  add_executable(${target} ${arg_SOURCES})
  target_link_libraries(${target} PRIVATE driftwood_program_options)
  target_compile_options(${target} PRIVATE -fsanitize=fuzzer)
  target_link_options(${target} PRIVATE -fsanitize=fuzzer)
  driftwood_link(${target} PRIVATE ${arg_LIBS})
  add_dependencies(driftwood_fuzzers ${target})

  set(found "${CMAKE_CURRENT_BINARY_DIR}/${name}_corpus")
  file(MAKE_DIRECTORY "${found}")
  set(corpus "${found}")
  if(EXISTS "${CMAKE_CURRENT_SOURCE_DIR}/corpus/${name}")
    list(APPEND corpus "${CMAKE_CURRENT_SOURCE_DIR}/corpus/${name}")
  endif()
  add_test(NAME "fuzz/${name}" COMMAND ${target} -runs=${arg_RUNS} -seed=1 -timeout=20 -rss_limit_mb=4096 ${corpus})
  set_tests_properties("fuzz/${name}" PROPERTIES LABELS fuzz TIMEOUT 600)
endfunction()
