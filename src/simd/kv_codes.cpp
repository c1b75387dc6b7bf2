#include "simd/kv_codes.h"

namespace rapid {

KvCodes kv_codes(int dim, int bits) {
  constexpr size_t kHalf = 2;  // bytes of a scale
  KvCodes out;
  out.dim = dim;
  out.bits = bits;
  out.groups = (dim + KvCodes::kGroup - 1) / KvCodes::kGroup;
  out.group_bytes = KvCodes::kGroup * bits / 8;
  out.row_bytes = out.groups * out.group_bytes;
  const size_t scales =
      kHalf * KvCodes::kTokens * static_cast<size_t>(out.groups);
  out.scales_at = static_cast<size_t>(KvCodes::kTokens) *
                  static_cast<size_t>(out.row_bytes);
  out.biases_at = out.scales_at + scales;
  out.bytes = out.biases_at + scales;
  return out;
}

}  // namespace rapid
