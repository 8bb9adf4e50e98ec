# SPDX-License-Identifier: MIT
#
# How targets are compiled, and the library in its variants: as the host gets it, and the two that the
# tests use (recording every store; without sanitizers, for Valgrind).

include(GNUInstallDirs)

set(_pvi_warnings
    -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wwrite-strings -Wvla)
set(_pvi_library_warnings -Wdeclaration-after-statement -Wredundant-decls -Wnested-externs -Wundef)

# pvi_compile(<target> [LIBRARY] [PLAIN])
# LIBRARY: freestanding rules. PLAIN: without the sanitizers of the configuration.
function(pvi_compile target)
  cmake_parse_arguments(PARSE_ARGV 1 ARG "LIBRARY;PLAIN" "" "")
  set_target_properties(${target} PROPERTIES C_STANDARD 11 C_STANDARD_REQUIRED ON C_EXTENSIONS ON)
  target_compile_options(${target} PRIVATE ${_pvi_warnings})
  if(ARG_LIBRARY)
    set_target_properties(${target} PROPERTIES C_EXTENSIONS OFF POSITION_INDEPENDENT_CODE ON)
    target_compile_options(${target} PRIVATE ${_pvi_library_warnings})
  endif()
  if(PVIOMMU_WERROR)
    target_compile_options(${target} PRIVATE -Werror)
  endif()
  if(ARG_PLAIN)
    target_compile_options(${target} PRIVATE -gdwarf-4) # Debian 12's Valgrind gives up at what clang writes by default
    return()
  endif()
  if(PVIOMMU_SANITIZE)
    list(JOIN PVIOMMU_SANITIZE "," sanitize)
    target_compile_options(${target} PRIVATE -fsanitize=${sanitize} -fno-sanitize-recover=all
                                             -fno-omit-frame-pointer)
    target_link_options(${target} PRIVATE -fsanitize=${sanitize})
  endif()
  if(PVIOMMU_FUZZ)
    target_compile_options(${target} PRIVATE -fsanitize=fuzzer-no-link)
  endif()
endfunction()

# pviommu_add_library(<name> [PLAIN] [DEFINES <definition>...])
function(pviommu_add_library name)
  cmake_parse_arguments(PARSE_ARGV 1 ARG "PLAIN" "" "DEFINES")
  set(plain)
  if(ARG_PLAIN)
    set(plain PLAIN)
  endif()
  add_library(${name} STATIC ${PVIOMMU_SRCS})
  pvi_compile(${name} LIBRARY ${plain})
  # The env header is part of the interface: public structures embed the host's lock.
  target_compile_definitions(${name} PUBLIC ${ARG_DEFINES})
  target_include_directories(${name} PUBLIC
    $<BUILD_INTERFACE:${PVIOMMU_ROOT}/include> $<BUILD_INTERFACE:${PVIOMMU_ENV_DIR}>
    $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>
    $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}/pviommu-env>)
endfunction()

# pviommu_add_posix(<name> <library> [PLAIN]): the userspace host for that variant of the library, and
# <name>_all, which links both: each calls the other, so they go to the linker as one group.
function(pviommu_add_posix name library)
  cmake_parse_arguments(PARSE_ARGV 2 ARG "PLAIN" "" "")
  set(plain)
  if(ARG_PLAIN)
    set(plain PLAIN)
  endif()
  add_library(${name} STATIC ${PVIOMMU_POSIX_SRCS})
  pvi_compile(${name} ${plain})
  target_link_libraries(${name} PUBLIC ${library})
  add_library(${name}_all INTERFACE)
  target_link_libraries(${name}_all INTERFACE
    "$<LINK_GROUP:RESCAN,$<TARGET_NAME:${name}>,$<TARGET_NAME:${library}>>")
endfunction()
