# Debian packages by find_package or pkg-config; MLX from the pinned wheel.
find_package(Threads REQUIRED)
find_package(PkgConfig REQUIRED)
find_package(nlohmann_json 3.11 REQUIRED)
find_package(fmt REQUIRED)
find_package(spdlog REQUIRED)
find_package(CLI11 REQUIRED)
find_package(Boost 1.81 REQUIRED)
find_package(CURL REQUIRED)
find_package(OpenSSL REQUIRED)
pkg_check_modules(EDIT REQUIRED IMPORTED_TARGET libedit)

if(RAPID_MLX_WITH_MLX)
  file(GLOB mlx_cmake_dirs
    ${RAPID_MLX_DEPS}/mlx/lib/python3*/site-packages/mlx/share/cmake/MLX)
  list(GET mlx_cmake_dirs 0 MLX_DIR)
  find_package(MLX CONFIG REQUIRED)
endif()
