# The bodies of src/simd are compiled once per instruction set; which one runs
# is chosen at run time. No contraction: a fused multiply-add happens where the
# source says so, on every platform.
target_compile_options(simd PRIVATE -ffp-contract=off)
set(simd_scalar "")
set(simd_avx2 -mavx2 -mfma -mf16c -mbmi2)
set(simd_avx512 ${simd_avx2} -mavx512f -mavx512bw -mavx512dq -mavx512vl
  -mavx512vnni -mprefer-vector-width=512)
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  foreach(isa scalar avx2 avx512)
    set(options ${simd_${isa}}
      # gcc 12's own AVX-512 intrinsics trip these (PR 105593).
      $<$<CXX_COMPILER_ID:GNU>:-Wno-uninitialized>
      $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized>)
    set_source_files_properties(simd/${isa}_cpu.cpp PROPERTIES
      COMPILE_OPTIONS "${options}")
  endforeach()
endif()
