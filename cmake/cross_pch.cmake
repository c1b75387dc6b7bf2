# A program for another platform is built once and whole, mostly out of headers:
# all libraries share what they include anyway. Not in a link check, which finds
# a header that a file forgot.
if(NOT RAPID_MLX_CROSS OR RAPID_MLX_MAC_CHECK)
  return()
endif()
set(headers <nlohmann/json.hpp> <fmt/format.h>)
foreach(name algorithm array atomic charconv chrono cmath condition_variable
    cstdint cstring deque filesystem fstream functional map memory mutex optional
    set span string string_view thread unordered_map utility variant vector)
  list(APPEND headers <${name}>)
endforeach()
target_precompile_headers(rapid_mlx_pch PRIVATE ${headers})
target_precompile_headers(base PRIVATE ${headers})
foreach(name text hub cache sampling speculation chat formats engine advice mcp
    agents api server pool)
  target_precompile_headers(${name} REUSE_FROM base)
endforeach()
