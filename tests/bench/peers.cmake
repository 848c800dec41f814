# SPDX-License-Identifier: Apache-2.0
# Programs that measure other people's software. What is not installed is left out; bench.py says so.

# sg_bench_peer(NAME SOURCE LIBS ...): nothing of Signet is in it but the closed loop.
function(sg_bench_peer name source)
    cmake_parse_arguments(arg "" "" "LIBS" ${ARGN})
    add_executable(${name} EXCLUDE_FROM_ALL ${source})
    target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR})
    target_link_libraries(${name} PRIVATE ${arg_LIBS} bench_load Threads::Threads)
    add_dependencies(bench_peers ${name})
endfunction()

pkg_check_modules(MUNGE IMPORTED_TARGET munge)
if(MUNGE_FOUND)
    sg_bench_peer(munge_load munge_load.c LIBS PkgConfig::MUNGE signet_warnings)
endif()

pkg_check_modules(LIBJWT IMPORTED_TARGET libjwt)
if(LIBJWT_FOUND)
    sg_bench_peer(jwt_load jwt_load.c LIBS PkgConfig::LIBJWT signet_warnings)
endif()

pkg_check_modules(GRPC IMPORTED_TARGET grpc++_unsecure protobuf)
find_program(PROTOC protoc)
find_program(GRPC_CPP_PLUGIN grpc_cpp_plugin)
include(CheckLanguage)
check_language(CXX)
if(GRPC_FOUND AND PROTOC AND GRPC_CPP_PLUGIN AND CMAKE_CXX_COMPILER)
    enable_language(CXX)
    set(generated ${CMAKE_CURRENT_BINARY_DIR}/generated)
    file(MAKE_DIRECTORY ${generated})
    set(generated_sources ${generated}/grpc_echo.pb.cc ${generated}/grpc_echo.grpc.pb.cc)
    add_custom_command(
        OUTPUT ${generated_sources} ${generated}/grpc_echo.pb.h ${generated}/grpc_echo.grpc.pb.h
        COMMAND ${PROTOC} -I ${CMAKE_CURRENT_SOURCE_DIR} --cpp_out=${generated} --grpc_out=${generated}
            --plugin=protoc-gen-grpc=${GRPC_CPP_PLUGIN} grpc_echo.proto
        DEPENDS grpc_echo.proto
        VERBATIM)
    add_library(grpc_echo_proto STATIC EXCLUDE_FROM_ALL ${generated_sources})
    target_include_directories(grpc_echo_proto SYSTEM PUBLIC ${generated})
    target_link_libraries(grpc_echo_proto PUBLIC PkgConfig::GRPC)
    foreach(name IN ITEMS echo_grpc grpc_load)
        sg_bench_peer(${name} ${name}.cc LIBS grpc_echo_proto)
        target_compile_options(${name} PRIVATE -Wall -Wextra -Wshadow -Wconversion
            $<$<BOOL:${SIGNET_WERROR}>:-Werror>)
    endforeach()
    set_target_properties(echo_grpc grpc_load grpc_echo_proto PROPERTIES
        CXX_STANDARD 17 CXX_STANDARD_REQUIRED ON)
endif()
