# Toolchain of tools/mac-link-check: zig's clang and linker for a Mac with Apple
# silicon, on Linux. RAPID_MLX_MAC_TOOLS holds its wrappers and the headers of
# the libraries that a Mac brings itself.
set(CMAKE_SYSTEM_NAME Darwin)
set(CMAKE_SYSTEM_VERSION 23)
set(CMAKE_SYSTEM_PROCESSOR arm64)
set(RAPID_MLX_MAC_CHECK ON)
set(RAPID_MLX_CROSS $ENV{RAPID_MLX_MAC_TOOLS})
set(tools ${RAPID_MLX_CROSS})
set(CMAKE_C_COMPILER ${tools}/cc)
set(CMAKE_CXX_COMPILER ${tools}/c++)
set(CMAKE_AR ${tools}/ar CACHE FILEPATH "")
set(CMAKE_RANLIB ${tools}/ranlib CACHE FILEPATH "")
set(CMAKE_INSTALL_NAME_TOOL ${tools}/ranlib CACHE FILEPATH "")
set(CMAKE_OSX_SYSROOT "" CACHE PATH "")
set(CMAKE_OSX_DEPLOYMENT_TARGET "" CACHE STRING "")
set(CMAKE_C_COMPILER_WORKS ON)
set(CMAKE_CXX_COMPILER_WORKS ON)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)
