# SPDX-License-Identifier: MIT
#
# What every test is linked with, and add_pvi_test().

set(PVI_SANITIZER_ENV
    "ASAN_OPTIONS=detect_stack_use_after_return=1:strict_string_checks=1"
    "UBSAN_OPTIONS=print_stacktrace=1"
    "TSAN_OPTIONS=suppressions=${PVIOMMU_ROOT}/tests/tsan.supp:history_size=7")

find_program(PVI_VALGRIND valgrind)
set(PVI_VALGRIND_COMMAND "${PVI_VALGRIND}" -q --error-exitcode=99 --leak-check=full
                         --errors-for-leak-kinds=definite)
if(PVIOMMU_VALGRIND AND NOT PVI_VALGRIND)
  message(FATAL_ERROR "PVIOMMU_VALGRIND: no valgrind found; scripts/setup installs it")
endif()

# pvi_test_properties(<test> <labels> [<seconds>])
# A test whose subject is not there (no QEMU, no Valgrind) exits with 77.
function(pvi_test_properties name labels)
  set(timeout 300)
  if(ARGC GREATER 2 AND ARGV2)
    set(timeout ${ARGV2})
  endif()
  if(PVIOMMU_VALGRIND)
    math(EXPR timeout "${timeout} * 10")
  endif()
  set_tests_properties(${name} PROPERTIES LABELS "${labels}" TIMEOUT ${timeout} SKIP_RETURN_CODE 77
                                          ENVIRONMENT "${PVI_SANITIZER_ENV}")
endfunction()

# add_pvi_test(<name> LABELS <label>... [SOURCES <file>...] [LIBS <target>...] [ARGS <argument>...]
#              [TIMEOUT <seconds>])
# One test program, by default of <name>.c, with CMocka. What it tests comes with LIBS: pvi_rec (the
# library and the userspace host, both recording), hwm (the hardware model), qharness (QEMU).
function(add_pvi_test name)
  cmake_parse_arguments(PARSE_ARGV 1 ARG "" "TIMEOUT" "LABELS;SOURCES;LIBS;ARGS")
  if(NOT ARG_SOURCES)
    set(ARG_SOURCES ${name}.c)
  endif()
  set(launcher)
  if(PVIOMMU_VALGRIND AND NOT "qemu" IN_LIST ARG_LABELS)
    set(launcher ${PVI_VALGRIND_COMMAND})
  endif()
  add_executable(${name} ${ARG_SOURCES})
  pvi_compile(${name})
  target_link_libraries(${name} PRIVATE ${ARG_LIBS} pvi_cmocka)
  add_test(NAME ${name} COMMAND ${launcher} $<TARGET_FILE:${name}> ${ARG_ARGS})
  pvi_test_properties(${name} "${ARG_LABELS}" "${ARG_TIMEOUT}")
endfunction()

if(PVIOMMU_TESTS)
  find_path(CMOCKA_INCLUDE_DIR cmocka.h)
  find_library(CMOCKA_LIBRARY cmocka)
  if(NOT CMOCKA_INCLUDE_DIR OR NOT CMOCKA_LIBRARY)
    message(FATAL_ERROR "CMocka is missing: run scripts/setup, or configure with -DPVIOMMU_TESTS=OFF")
  endif()
  add_library(pvi_cmocka INTERFACE)
  target_include_directories(pvi_cmocka SYSTEM INTERFACE ${CMOCKA_INCLUDE_DIR})
  target_link_libraries(pvi_cmocka INTERFACE ${CMOCKA_LIBRARY})
endif()

# pvi_add_recording(<suffix> [PLAIN]): the library and the userspace host with the recorder, as one
# target pvi_rec<suffix>, and the hardware model as hwm<suffix>.
function(pvi_add_recording suffix)
  pviommu_add_library(pviommu_rec${suffix} ${ARGN} DEFINES PVI_POSIX_RECORD)
  if(PVIOMMU_POSIX_SRCS)
    pviommu_add_posix(pviommu_posix_rec${suffix} pviommu_rec${suffix} ${ARGN})
    add_library(pvi_rec${suffix} ALIAS pviommu_posix_rec${suffix}_all)
  endif()
  file(GLOB model_srcs CONFIGURE_DEPENDS "${PVIOMMU_ROOT}/tests/model/*.c")
  list(FILTER model_srcs EXCLUDE REGEX "/selftest[^/]*\\.c$")
  add_library(hwm${suffix} STATIC ${model_srcs})
  pvi_compile(hwm${suffix} ${ARGN})
  target_include_directories(hwm${suffix} PUBLIC "${PVIOMMU_ROOT}/tests/model")
endfunction()

pvi_add_recording("")
