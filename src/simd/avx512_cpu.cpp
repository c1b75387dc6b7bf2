#include <cmath>
#include <cstring>

#include "simd/simd.h"

#if defined(__AVX512F__) && defined(__AVX512BW__)

#include <immintrin.h>

namespace rapid {

namespace {

constexpr int kLanes = 16;
constexpr int kTileRows = 6;
using Vec = float __attribute__((vector_size(64)));
using IntVec = int32_t __attribute__((vector_size(64)));

inline Vec fma(Vec a, Vec b, Vec c) {
  return (Vec)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
}

inline float sum(Vec v) {
  return _mm512_reduce_add_ps((__m512)v);
}

inline float half(const uint8_t* p) {
  uint16_t bits;
  memcpy(&bits, p, 2);
  return _cvtsh_ss(bits);
}

inline void halves(const uint8_t* p, int n, float* out) {
  int i = 0;
  for (; i + 16 <= n; i += 16) {
    const __m256i h = _mm256_loadu_si256((const __m256i*)(p + 2 * i));
    _mm512_storeu_ps(out + i, _mm512_cvtph_ps(h));
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
  return {{(Vec)_mm512_cvtepi32_ps(_mm512_cvtepu8_epi32((__m128i)q))}};
}

#include "simd/body.inl"

}  // namespace

const KernelTable* avx512_kernels() {
  return &kTable;
}

}  // namespace rapid

#else

namespace rapid {

const KernelTable* avx512_kernels() {
  return nullptr;
}

}  // namespace rapid

#endif
