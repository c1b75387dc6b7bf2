// Rows of keys and values as codes (simd/kv_codes.h) by plain MLX ops: the
// definition, and what runs on a GPU.
#pragma once

#include "kernels/attention.h"

namespace rapid {

struct CodedRows {
  mx::array codes;   // [n, H, row_bytes] uint8
  mx::array scales;  // [n, H, groups] float16
  mx::array biases;
};

// x [n, H, D] float32.
CodedRows code_rows(const mx::array& x, const KvCodes& shape);

// The keys [H, D, 64] and values [H, 64, D] of a page as float32.
mx::array coded_keys(const mx::array& page, const KvShape& shape);
mx::array coded_values(const mx::array& page, const KvShape& shape);

// The page with the rows of k and v in the slots from `slot` on.
mx::array with_coded_rows(
    const mx::array& page,
    const KvShape& shape,
    const CodedRows& k,
    const CodedRows& v,
    int slot);

}  // namespace rapid
