# No contraction: a fused multiply-add happens where the source says so, on
# every platform.
if(RAPID_MLX_WITH_MLX)
  target_compile_options(kernels PRIVATE -ffp-contract=off)
  target_compile_options(tensor PRIVATE -ffp-contract=off)
endif()
