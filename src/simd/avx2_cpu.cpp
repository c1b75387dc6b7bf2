#include <cmath>
#include <cstring>

#include "simd/simd.h"

#if defined(__AVX2__) && defined(__FMA__)

#include <immintrin.h>

namespace rapid {

namespace {

constexpr int kLanes = 8;
constexpr int kTileRows = 3;
using Vec = float __attribute__((vector_size(32)));
using IntVec = int32_t __attribute__((vector_size(32)));

inline Vec fma(Vec a, Vec b, Vec c) {
  return (Vec)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
}

inline float sum(Vec v) {
  const float a = (v[0] + v[4]) + (v[2] + v[6]);
  const float b = (v[1] + v[5]) + (v[3] + v[7]);
  return a + b;
}

inline float half(const uint8_t* p) {
  uint16_t bits;
  memcpy(&bits, p, 2);
  return _cvtsh_ss(bits);
}

inline void halves(const uint8_t* p, int n, float* out) {
  int i = 0;
  for (; i + 8 <= n; i += 8) {
    const __m128i h = _mm_loadu_si128((const __m128i*)(p + 2 * i));
    _mm256_storeu_ps(out + i, _mm256_cvtph_ps(h));
  }
  for (; i < n; ++i) {
    out[i] = half(p + 2 * i);
  }
}

constexpr int kParts = 16 / kLanes;
using Bytes16 = uint8_t __attribute__((vector_size(16)));

struct Sixteen {
  Vec part[kParts];
};

inline Sixteen widen(Bytes16 q) {
  const __m128i low = (__m128i)q;
  const __m128i high = _mm_srli_si128(low, 8);
  return {
      {(Vec)_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(low)),
       (Vec)_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(high))}};
}

#include "simd/body.inl"

}  // namespace

const KernelTable* avx2_kernels() {
  return &kTable;
}

}  // namespace rapid

#else

namespace rapid {

const KernelTable* avx2_kernels() {
  return nullptr;
}

}  // namespace rapid

#endif
