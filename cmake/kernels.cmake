# No contraction: a fused multiply-add happens where the source says so, on
# every platform.
if(RAPID_MLX_WITH_MLX)
  target_compile_options(kernels PRIVATE -ffp-contract=off)
  target_compile_options(tensor PRIVATE -ffp-contract=off)
endif()

# The kernel texts for GPUs, compiled in by name.
include(embed)
file(GLOB texts CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/src/kernels/gpu/*.gpu)
set(gpu_text_declarations "")
set(gpu_text_entries "")
foreach(text ${texts})
  get_filename_component(name ${text} NAME_WE)
  rapid_embed(kernels gpu_text_${name} ${text})
  string(APPEND gpu_text_declarations "std::string_view gpu_text_${name}();\n")
  string(APPEND gpu_text_entries "      {\"${name}\", gpu_text_${name}()},\n")
endforeach()
if(TARGET kernels)
  file(CONFIGURE OUTPUT ${CMAKE_BINARY_DIR}/generated/gpu_texts.cpp @ONLY CONTENT
"// Generated from src/kernels/gpu. Do not edit.
#include <map>
#include <string_view>
namespace rapid {
@gpu_text_declarations@
const std::map<std::string_view, std::string_view>& gpu_texts();
const std::map<std::string_view, std::string_view>& gpu_texts() {
  static const std::map<std::string_view, std::string_view> all = {
@gpu_text_entries@  };
  return all;
}
}  // namespace rapid
")
  target_sources(kernels PRIVATE ${CMAKE_BINARY_DIR}/generated/gpu_texts.cpp)
endif()
