// Keys and values as codes of 8 or 4 bits: what a code stands for, and how 64
// tokens of one head lie in a page. Plain numbers, no MLX.
//
// A row (one token's key or value in one head) is cut along its dimensions
// into groups of 32, the last one may be shorter. For each group
//   bias = min, scale = (max - min) / (2^bits - 1), both rounded to float16
//   code = (x - bias) / scale, clamped to 0 .. 2^bits - 1, nearest even;
//          0 where scale is 0
//   x is read back as scale * code + bias, in float32
// so that a row's bits depend on this row alone (law 3).
//
// A group's codes are 32 bytes; with 4 bits 16, byte i has dimension i in its
// low half and i + 16 in its high half. Dimensions behind the last one repeat
// it. A head's block of a page:
//   keys    codes [row_bytes, 64], scales [groups, 64], biases [groups, 64]
//   values  codes [64, row_bytes], scales [64, groups], biases [64, groups]
#pragma once

#include <cstddef>
#include <cstdint>

namespace rapid {

// Plain numbers: a member function compiled for one instruction set could be
// picked by the linker for everybody.
struct KvCodes {
  static constexpr int kGroup = 32;
  static constexpr int kTokens = 64;

  int dim = 0;
  int bits = 0;  // 8 or 4
  int groups = 0;
  int group_bytes = 0;
  int row_bytes = 0;
  // Of a block: where its scales and biases begin, and its size.
  size_t scales_at = 0;
  size_t biases_at = 0;
  size_t bytes = 0;
};

KvCodes kv_codes(int dim, int bits);

}  // namespace rapid
