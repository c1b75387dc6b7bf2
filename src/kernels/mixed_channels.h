// Channels of a head mixed so that none stands out: Sylvester's Hadamard matrix
// over blocks of the largest power of two, to 32, that divides the head's size,
// times 1 / sqrt(block). It is orthogonal and symmetric: mixed queries times
// mixed keys are the queries times the keys, and mixing twice gives the vector
// back.
//
// Keys that are kept as codes are mixed first. A group of 32 codes has one
// scale, and a channel far from zero would leave the others of its group few
// codes. Wider blocks would hand that on to other groups.
#pragma once

#include <mlx/mlx.h>

namespace rapid {

namespace mx = mlx::core;

int mixed_block(int dim);

// x [..., dim] float32, by plain ops: the definition.
mx::array mixed_channels(const mx::array& x);

// One head [dim] in place: the same additions in the same order.
void mix_channels(float* x, int dim);

}  // namespace rapid
