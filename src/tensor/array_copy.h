// A tensor of a file as an array of MLX's own memory.
#pragma once

#include <mlx/mlx.h>

#include "hub/tensor_view.h"

namespace rapid {

namespace mx = mlx::core;

// Plain types only: floats, u8 and u32. Not a graph: evaluated.
mx::array array_copy(const TensorView& view);

}  // namespace rapid
