# The SIMD bodies of src/kernels are compiled once per instruction set; which
# one runs is chosen at run time. No contraction: a fused multiply-add happens
# where the source says so, on every platform.
if(RAPID_MLX_WITH_MLX)
  target_compile_options(kernels PRIVATE -ffp-contract=off)
  target_compile_options(tensor PRIVATE -ffp-contract=off)
  set(kernels_scalar "")
  set(kernels_avx2 -mavx2 -mfma -mf16c -mbmi2)
  set(kernels_avx512 ${kernels_avx2} -mavx512f -mavx512bw -mavx512dq
    -mavx512vl -mprefer-vector-width=512)
  foreach(isa scalar avx2 avx512)
    set(options "")
    if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
      set(options ${kernels_${isa}}
        # gcc 12's own AVX-512 intrinsics trip these (PR 105593).
        $<$<CXX_COMPILER_ID:GNU>:-Wno-uninitialized>
        $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized>)
    endif()
    set_source_files_properties(kernels/simd_${isa}_cpu.cpp PROPERTIES
      COMPILE_OPTIONS "${options}" SKIP_PRECOMPILE_HEADERS ON)
  endforeach()
endif()
