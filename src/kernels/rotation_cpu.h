// Rotary position embedding of one row's heads.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace rapid {

// Cosines and sines [T, 2, pairs] of positions x frequencies, times
// `amplitude`. The tables of
// the last few calls of this thread are kept, for the layers of a step ask for
// the same ones; the pointer lives until the next call.
const float* rotation_table(
    const std::vector<float>& frequencies,
    float amplitude,
    std::span<const int32_t> positions);

// Turns the first 2 * pairs elements of x [dim] in place by a row [2, pairs]
// of the table: pairs (i, i + pairs), or (2i, 2i + 1) where `interleaved`.
void rotate(float* x, const float* turn, int pairs, bool interleaved);

}  // namespace rapid
