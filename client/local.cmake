# SPDX-License-Identifier: Apache-2.0
# libsignet-local. Included by CMakeLists.txt, whose variables it uses.

add_library(sg_local_objects OBJECT
    local.c
    local_attach.c
    local_boards.c
    local_headers.c
    local_keys.c
    local_verify.c)
target_include_directories(sg_local_objects PUBLIC ${CMAKE_CURRENT_SOURCE_DIR}/include)
target_compile_definitions(sg_local_objects PRIVATE SIGNET_VERSION="${PROJECT_VERSION}")
target_link_libraries(sg_local_objects
    PUBLIC sg_board sg_jose sg_common signet_options
    PRIVATE signet_warnings)

# As a static archive: for tests of its insides.
add_library(sg_local STATIC $<TARGET_OBJECTS:sg_local_objects>)
target_include_directories(sg_local PUBLIC ${CMAKE_CURRENT_SOURCE_DIR}/include)
target_link_libraries(sg_local PUBLIC sg_client sg_board sg_jose sg_common signet_options)

# What programs link besides libsignet, of which it has the few lines that fill an error and take options.
add_library(signet-local SHARED $<TARGET_OBJECTS:sg_local_objects> error.c options.c)
add_library(signet::local ALIAS signet-local)
set_target_properties(signet-local PROPERTIES
    EXPORT_NAME local
    VERSION ${PROJECT_VERSION}
    SOVERSION 0
    LINK_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/libsignet-local.map)
target_compile_definitions(signet-local PRIVATE SIGNET_VERSION="${PROJECT_VERSION}")
target_include_directories(signet-local INTERFACE
    $<BUILD_INTERFACE:${CMAKE_CURRENT_SOURCE_DIR}/include>
    $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
target_link_libraries(signet-local
    PUBLIC signet
    PRIVATE sg_board sg_jose sg_common signet_options signet_warnings)
target_link_options(signet-local PRIVATE
    -Wl,--version-script=${CMAKE_CURRENT_SOURCE_DIR}/libsignet-local.map)

install(TARGETS signet-local EXPORT signet-local
    LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT signet-local NAMELINK_COMPONENT signet-local-dev)
install(FILES include/signet/local.h
    DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/signet COMPONENT signet-local-dev)
configure_file(signet-local.pc.in signet-local.pc @ONLY)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/signet-local.pc
    DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig COMPONENT signet-local-dev)

set(local_package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/signet-local)
configure_package_config_file(signet-localConfig.cmake.in signet-localConfig.cmake
    INSTALL_DESTINATION ${local_package_dir})
write_basic_package_version_file(signet-localConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(EXPORT signet-local NAMESPACE signet:: FILE signet-localTargets.cmake
    DESTINATION ${local_package_dir} COMPONENT signet-local-dev)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/signet-localConfig.cmake
    ${CMAKE_CURRENT_BINARY_DIR}/signet-localConfigVersion.cmake
    DESTINATION ${local_package_dir} COMPONENT signet-local-dev)
