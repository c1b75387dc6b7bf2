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

using Codes = uint8_t __attribute__((vector_size(32)));
constexpr bool kSignedEights = true;
constexpr int kPackedRows = 4;

inline Vec half_lanes(const uint8_t* p) {
  return (Vec)_mm256_cvtph_ps(_mm_loadu_si128((const __m128i*)p));
}

inline void store_halves(uint16_t* p, Vec v) {
  _mm_storeu_si128((__m128i*)p, _mm256_cvtps_ph((__m256)v, 0));
}

inline IntVec ints_of_bytes(const uint8_t* p) {
  return (IntVec)_mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i*)p));
}

inline IntVec ints_of_signed(const uint8_t* p) {
  return (IntVec)_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i*)p));
}

// 16 in each byte whose bit is set.
inline Codes fifth_bits_of(const uint8_t* p) {
  int32_t mask;
  memcpy(&mask, p, sizeof(mask));
  const __m256i bytes = _mm256_shuffle_epi8(
      _mm256_set1_epi32(mask),
      _mm256_setr_epi64x(
          0, 0x0101010101010101, 0x0202020202020202, 0x0303030303030303));
  const __m256i bit = _mm256_set1_epi64x(0x8040201008040201);
  const __m256i set = _mm256_cmpeq_epi8(_mm256_and_si256(bytes, bit), bit);
  return (Codes)_mm256_and_si256(set, _mm256_set1_epi8(16));
}

inline Codes lookup(Bytes16 table, Codes at) {
  return (Codes)_mm256_shuffle_epi8(
      _mm256_broadcastsi128_si256((__m128i)table), (__m256i)at);
}

// Adds the products of each lane's four codes with the four signed bytes of a.
// Pairs add up in 16 bits: 63 * 127 * 2 fits; eight-bit codes come signed, and
// their sign moves over to a (|a| <= 127, so 128 * 127 * 2 fits too).
template <int Bits>
inline IntVec dot4(IntVec sum, Codes u, int32_t a) {
  __m256i codes = (__m256i)u;
  __m256i x = _mm256_set1_epi32(a);
  if constexpr (Bits == 8) {
    x = _mm256_sign_epi8(x, codes);
    codes = _mm256_abs_epi8(codes);
  }
  const __m256i pairs = _mm256_maddubs_epi16(codes, x);
  return sum + (IntVec)_mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
}

#include "simd/defaults.inl"
// What is built on these.
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
