# install.cmake - what `cmake --install` puts where: headers, static libraries, stookConfig.cmake
# for find_package(stook) and stook.pc for pkg-config. Included at the end of the root CMakeLists.
option(STOOK_INSTALL "Install rules for stook" ${PROJECT_IS_TOP_LEVEL})
if(NOT STOOK_INSTALL)
  return()
endif()
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

set(stook_cmake_dir ${CMAKE_INSTALL_LIBDIR}/cmake/stook)

install(DIRECTORY include/stook DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING
        PATTERN "*.hpp")
install(TARGETS stook stook_runtime stook_cache stook_core EXPORT stook
        ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(EXPORT stook NAMESPACE stook:: FILE stookTargets.cmake DESTINATION ${stook_cmake_dir})

configure_package_config_file(tools/stookConfig.cmake.in stookConfig.cmake
                              INSTALL_DESTINATION ${stook_cmake_dir})
write_basic_package_version_file(stookConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/stookConfig.cmake
              ${CMAKE_CURRENT_BINARY_DIR}/stookConfigVersion.cmake DESTINATION ${stook_cmake_dir})

# The prefix in stook.pc is relative to the file, so that an installed tree can be moved.
file(RELATIVE_PATH stook_pc_prefix /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
configure_file(tools/stook.pc.in stook.pc @ONLY)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/stook.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
