# rapid-mlx-portable: the same objects linked with archives, for packages. It
# needs nothing on the other machine but libmlx, the C++ and the C library.
# Built on demand; needs the archives of Debian's packages, or those that
# tools/package-cross made for another platform.
if(RAPID_MLX_MAC_CHECK OR (APPLE AND NOT RAPID_MLX_CROSS))
  return()
endif()
set(missing "")
set(archive_places "")
if(RAPID_MLX_CROSS)
  set(archive_places PATHS ${RAPID_MLX_CROSS}/lib NO_DEFAULT_PATH)
endif()
# archive(<name> <lib>...): archive_<name> of lib<lib>.a files.
function(archive name)
  set(paths "")
  foreach(library ${ARGN})
    find_library(RAPID_MLX_ARCHIVE_${library} lib${library}.a ${archive_places}
      NO_CMAKE_FIND_ROOT_PATH)
    if(RAPID_MLX_ARCHIVE_${library})
      list(APPEND paths ${RAPID_MLX_ARCHIVE_${library}})
    else()
      list(APPEND missing lib${library}.a)
    endif()
  endforeach()
  add_library(archive_${name} INTERFACE)
  target_link_libraries(archive_${name} INTERFACE ${paths})
  set(missing ${missing} PARENT_SCOPE)
endfunction()
archive(crypto crypto)
target_link_libraries(archive_crypto INTERFACE ${CMAKE_DL_LIBS} Threads::Threads)
archive(ssl ssl)
target_link_libraries(archive_ssl INTERFACE archive_crypto)
archive(sqlite sqlite3)
archive(yaml yaml-cpp)
archive(minizip minizip z)
if(APPLE)
  # The one that a Mac has.
  add_library(archive_edit INTERFACE)
  target_link_libraries(archive_edit INTERFACE ${RAPID_MLX_CROSS}/lib/libedit.tbd)
else()
  archive(edit edit bsd md tinfo)
endif()
if(missing AND RAPID_MLX_CROSS)
  message(FATAL_ERROR "no ${missing} in ${RAPID_MLX_CROSS}/lib")
elseif(missing)
  message(STATUS "No portable program: no ${missing}")
  return()
endif()

# Debian has no archives of these two; their headers carry the code.
add_library(archive_fmt STATIC EXCLUDE_FROM_ALL
  ${CMAKE_SOURCE_DIR}/packaging/static/fmt.cpp)
add_library(archive_spdlog STATIC EXCLUDE_FROM_ALL
  ${CMAKE_SOURCE_DIR}/packaging/static/spdlog.cpp)
target_compile_definitions(archive_spdlog PRIVATE
  SPDLOG_COMPILED_LIB SPDLOG_FMT_EXTERNAL)
target_link_libraries(archive_spdlog PUBLIC archive_fmt)

# libmlx is looked for where the ways to install put it, relative to the
# program: ../mlx/lib in a folder of its own, or an environment of Python's.
set(here $ORIGIN)
if(APPLE)
  set(here @loader_path)
endif()
set(rpath ${here}/../mlx/lib)
foreach(minor 10 11 12 13 14)
  foreach(packages lib/python3.${minor}/site-packages
      lib/python3.${minor}/dist-packages lib64/python3.${minor}/site-packages)
    list(APPEND rpath ${here}/../${packages}/mlx/lib)
  endforeach()
endforeach()
add_executable(rapid-mlx-portable EXCLUDE_FROM_ALL
  ${CMAKE_SOURCE_DIR}/src/cli/main.cpp)
set_target_properties(rapid-mlx-portable PROPERTIES
  PORTABLE ON
  OUTPUT_NAME rapid-mlx
  RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/portable
  BUILD_WITH_INSTALL_RPATH ON
  INSTALL_RPATH "${rpath}")
target_link_libraries(rapid-mlx-portable PRIVATE cli)
# No symbol of an archive is offered to libraries that are loaded later:
# libcurl has an OpenSSL of its own.
if(APPLE)
  target_link_options(rapid-mlx-portable PRIVATE -s -Wl,-dead_strip)
  list(TRANSFORM rpath PREPEND "-Wl,-rpath,")
  target_link_options(rapid-mlx-portable PRIVATE ${rpath})
else()
  target_link_options(rapid-mlx-portable PRIVATE
    -s -Wl,--gc-sections -Wl,--exclude-libs,ALL)
endif()
