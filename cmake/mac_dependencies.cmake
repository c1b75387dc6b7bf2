# The libraries of a link check for macOS: headers only. What a Mac or the Rust
# library would bring stays undefined, to be looked up when the program starts.
set(headers $ENV{RAPID_MLX_MAC_TOOLS}/include)
include_directories(SYSTEM ${headers})
add_link_options(-Wl,-undefined,dynamic_lookup)
foreach(name Threads::Threads nlohmann_json::nlohmann_json fmt::fmt
    spdlog::spdlog CLI11::CLI11 Boost::headers OpenSSL::Crypto PkgConfig::EDIT
    PkgConfig::ZIP
    SQLite::SQLite3 rapid_text_rust)
  add_library(${name} INTERFACE IMPORTED GLOBAL)
endforeach()
set_property(TARGET fmt::fmt PROPERTY
  INTERFACE_COMPILE_DEFINITIONS FMT_HEADER_ONLY)
set_property(TARGET spdlog::spdlog PROPERTY
  INTERFACE_COMPILE_DEFINITIONS SPDLOG_FMT_EXTERNAL FMT_HEADER_ONLY)
set_property(TARGET rapid_text_rust PROPERTY
  INTERFACE_INCLUDE_DIRECTORIES ${CMAKE_SOURCE_DIR}/src/text/rust)
set(CURL_INCLUDE_DIRS ${headers})

set(wheel $ENV{RAPID_MLX_MAC_TOOLS}/wheel/mlx)
add_library(mlx SHARED IMPORTED GLOBAL)
set_target_properties(mlx PROPERTIES
  IMPORTED_LOCATION ${wheel}/lib/libmlx.dylib
  INTERFACE_INCLUDE_DIRECTORIES ${wheel}/include)
