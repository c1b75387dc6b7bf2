// The portable body: four lanes of the compiler's vector extension, a multiply
// and an add where the others have a fused one.
#include <cmath>
#include <cstring>

#include "hub/dequantise.h"
#include "simd/simd.h"

namespace rapid {

namespace {

constexpr int kLanes = 4;
constexpr int kTileRows = 2;
using Vec = float __attribute__((vector_size(16)));
using IntVec = int32_t __attribute__((vector_size(16)));

inline Vec fma(Vec a, Vec b, Vec c) {
  return a * b + c;
}

inline float sum(Vec v) {
  return (v[0] + v[2]) + (v[1] + v[3]);
}

inline float half(const uint8_t* p) {
  uint16_t bits;
  memcpy(&bits, p, 2);
  return half_to_float(bits);
}

inline void halves(const uint8_t* p, int n, float* out) {
  for (int i = 0; i < n; ++i) {
    out[i] = half(p + 2 * i);
  }
}

constexpr int kParts = 16 / kLanes;
using Bytes16 = uint8_t __attribute__((vector_size(16)));

struct Sixteen {
  Vec part[kParts];
};

inline Sixteen widen(Bytes16 q) {
  Sixteen out;
  for (int i = 0; i < 16; ++i) {
    out.part[i / 4][i % 4] = static_cast<float>(q[i]);
  }
  return out;
}

#include "simd/body.inl"

}  // namespace

const KernelTable* scalar_kernels() {
  return &kTable;
}

}  // namespace rapid
