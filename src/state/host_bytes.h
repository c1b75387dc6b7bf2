// Arrays as bytes on the host, for snapshots that go to disk. Engine thread.
#pragma once

#include <mlx/mlx.h>

#include <cstddef>
#include <span>
#include <string>

#include "state/snapshot.h"

namespace rapid {

namespace mx = mlx::core;

// "F32", "BF16", ... as safetensors writes them.
std::string dtype_name(mx::Dtype dtype);

// The array's bytes in row order, kept alive by the unit. An array that is not
// row-contiguous is copied.
StateUnit host_unit(
    std::string name, int first, int end, const mx::array& data);

// An array of its own memory with these bytes; nothing checks their number.
mx::array array_of(
    std::span<const std::byte> bytes, const mx::Shape& shape, mx::Dtype dtype);

}  // namespace rapid
