# The bodies of src/simd are compiled once per instruction set; which one runs
# is chosen at run time. No contraction: a fused multiply-add happens where the
# source says so, on every platform.
cmake_path(GET CMAKE_CURRENT_LIST_DIR PARENT_PATH simd_root)
target_compile_options(simd PRIVATE -ffp-contract=off)
set(simd_scalar "")
set(simd_avx2 -mavx2 -mfma -mf16c -mbmi2)
set(simd_avx512 ${simd_avx2} -mavx512f -mavx512bw -mavx512dq -mavx512vl
  -mavx512vnni -mprefer-vector-width=512)
set(simd_amx ${simd_avx512} -mavx512bf16 -mamx-tile -mamx-bf16)
set(simd_neon "")  # what every Apple chip has
if(NOT APPLE)
  set(simd_neon -march=armv8.2-a+dotprod+fp16)
endif()
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  set(simd_isas scalar avx2 avx512 amx)
elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "aarch64|arm64")
  set(simd_isas scalar neon)
endif()
foreach(isa ${simd_isas})
  set(options ${simd_${isa}}
    # gcc 12's own AVX-512 intrinsics trip these (PR 105593).
    $<$<CXX_COMPILER_ID:GNU>:-Wno-uninitialized>
    $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized>)
  set_source_files_properties(${simd_root}/src/simd/${isa}_cpu.cpp
    TARGET_DIRECTORY simd PROPERTIES COMPILE_OPTIONS "${options}")
endforeach()
