# SPDX-License-Identifier: MIT
#
# What is installed: the library, its headers with the env header it was compiled for, the userspace
# host when that is the one, a CMake package and pkg-config files.

include(CMakePackageConfigHelpers)

set(_pvi_targets pviommu)
set(_pvi_cmake_dir "${CMAKE_INSTALL_LIBDIR}/cmake/pviommu")

install(DIRECTORY include/pviommu DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN "*.h")
install(DIRECTORY "${PVIOMMU_ENV_DIR}/" DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/pviommu-env
        FILES_MATCHING PATTERN "*.h")
install(FILES LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR})

configure_file(cmake/pviommu.pc.in pviommu.pc @ONLY)
install(FILES "${CMAKE_CURRENT_BINARY_DIR}/pviommu.pc" DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

if(TARGET pviommu_posix)
  list(APPEND _pvi_targets pviommu_posix pviommu_posix_all)
  set_target_properties(pviommu_posix_all PROPERTIES EXPORT_NAME posix)
  configure_file(cmake/pviommu-posix.pc.in pviommu-posix.pc @ONLY)
  install(FILES "${CMAKE_CURRENT_BINARY_DIR}/pviommu-posix.pc"
          DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
endif()

install(TARGETS ${_pvi_targets} EXPORT pviommu-targets ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(EXPORT pviommu-targets NAMESPACE pviommu:: DESTINATION ${_pvi_cmake_dir})

configure_package_config_file(cmake/pviommu-config.cmake.in pviommu-config.cmake
                              INSTALL_DESTINATION ${_pvi_cmake_dir})
write_basic_package_version_file(pviommu-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES "${CMAKE_CURRENT_BINARY_DIR}/pviommu-config.cmake"
              "${CMAKE_CURRENT_BINARY_DIR}/pviommu-config-version.cmake"
        DESTINATION ${_pvi_cmake_dir})
