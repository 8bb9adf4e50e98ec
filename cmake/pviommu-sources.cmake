# SPDX-License-Identifier: MIT
#
# Reads pviommu.mk. After include() of this file, which may be done without the rest of this build,
# PVIOMMU_<ROOM>_SRCS and PVIOMMU_SRCS (all rooms but the userspace host) hold absolute paths.

get_filename_component(PVIOMMU_ROOT "${CMAKE_CURRENT_LIST_DIR}/.." ABSOLUTE)
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${PVIOMMU_ROOT}/pviommu.mk")

set(PVIOMMU_SRCS)
set(_pviommu_rooms CORE VTD VTD_UNIT AMDVI AMDVI_UNIT ABI POSIX)
foreach(_room IN LISTS _pviommu_rooms)
  set(PVIOMMU_${_room}_SRCS)
endforeach()

file(STRINGS "${PVIOMMU_ROOT}/pviommu.mk" _pviommu_lines REGEX "^PVIOMMU_[A-Z_]+_SRCS \\+= ")
foreach(_line IN LISTS _pviommu_lines)
  if(NOT _line MATCHES "^PVIOMMU_([A-Z_]+)_SRCS \\+= ([^ ]+\\.c)$" OR NOT CMAKE_MATCH_1 IN_LIST _pviommu_rooms)
    message(FATAL_ERROR "pviommu.mk: expected one source a line, in a known list, not: ${_line}")
  endif()
  list(APPEND PVIOMMU_${CMAKE_MATCH_1}_SRCS "${PVIOMMU_ROOT}/${CMAKE_MATCH_2}")
  if(NOT CMAKE_MATCH_1 STREQUAL "POSIX")
    list(APPEND PVIOMMU_SRCS "${PVIOMMU_ROOT}/${CMAKE_MATCH_2}")
  endif()
endforeach()

# What a host without guests of its own compiles: all but the decoders, which call for the guest's memory.
set(PVIOMMU_GUESTLESS_SRCS ${PVIOMMU_SRCS})
list(REMOVE_ITEM PVIOMMU_GUESTLESS_SRCS ${PVIOMMU_ABI_SRCS})
