# The libraries of a link check for macOS: headers only. What a Mac or the Rust
# library would bring stays undefined, to be looked up when the program starts.
set(headers $ENV{RAPID_MLX_MAC_TOOLS}/include)
include_directories(SYSTEM ${headers})
add_link_options(-Wl,-undefined,dynamic_lookup)
foreach(name Threads::Threads nlohmann_json::nlohmann_json external_fmt
    external_spdlog CLI11::CLI11 Boost::headers external_crypto external_ssl
    external_edit external_minizip tomlplusplus external_yaml external_sqlite
    rapid_text_rust)
  add_library(${name} INTERFACE IMPORTED GLOBAL)
endforeach()
set_property(TARGET external_fmt PROPERTY
  INTERFACE_COMPILE_DEFINITIONS FMT_HEADER_ONLY)
set_property(TARGET external_spdlog PROPERTY
  INTERFACE_COMPILE_DEFINITIONS SPDLOG_FMT_EXTERNAL FMT_HEADER_ONLY)
set_property(TARGET rapid_text_rust PROPERTY
  INTERFACE_INCLUDE_DIRECTORIES ${CMAKE_SOURCE_DIR}/src/text/rust)
set(CURL_INCLUDE_DIRS ${headers})

set(wheel $ENV{RAPID_MLX_MAC_TOOLS}/wheel/mlx)
add_library(mlx SHARED IMPORTED GLOBAL)
set_target_properties(mlx PROPERTIES
  IMPORTED_LOCATION ${wheel}/lib/libmlx.dylib
  INTERFACE_INCLUDE_DIRECTORIES ${wheel}/include)
