#include <cmath>
#include <cstring>

#include "simd/simd.h"

#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512VNNI__)

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

using Codes = uint8_t __attribute__((vector_size(64)));
constexpr bool kSignedEights = false;
constexpr int kPackedRows = 8;

inline Vec half_lanes(const uint8_t* p) {
  return (Vec)_mm512_cvtph_ps(_mm256_loadu_si256((const __m256i*)p));
}

inline void store_halves(uint16_t* p, Vec v) {
  _mm256_storeu_si256((__m256i*)p, _mm512_cvtps_ph((__m512)v, 0));
}

inline IntVec ints_of_bytes(const uint8_t* p) {
  return (IntVec)_mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i*)p));
}

inline IntVec ints_of_signed(const uint8_t* p) {
  return (IntVec)_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i*)p));
}

// 16 in each byte whose bit is set.
inline Codes fifth_bits_of(const uint8_t* p) {
  uint64_t mask;
  memcpy(&mask, p, sizeof(mask));
  return (Codes)_mm512_maskz_set1_epi8(_cvtu64_mask64(mask), 16);
}

inline Codes lookup(Bytes16 table, Codes at) {
  return (Codes)_mm512_shuffle_epi8(
      _mm512_broadcast_i32x4((__m128i)table), (__m512i)at);
}

// Adds the products of each lane's four unsigned codes with the four signed
// bytes of a.
template <int Bits>
inline IntVec dot4(IntVec sum, Codes u, int32_t a) {
  return (IntVec)_mm512_dpbusd_epi32(
      (__m512i)sum, (__m512i)u, _mm512_set1_epi32(a));
}

#include "simd/defaults.inl"
// What is built on these.
#include "simd/body.inl"

__attribute__((target("avx512bf16"))) int64_t
bfloat_work_here(const uint8_t* data, int64_t rounds, float* sink) {
  constexpr int kChains = 12;
  __m512bh w[kChains];
  __m512 sums[kChains];
  for (int i = 0; i < kChains; ++i) {
    const __m512i bits = _mm512_loadu_si512(data + 64 * i);
    w[i] = (__m512bh)_mm512_and_si512(bits, _mm512_set1_epi32(0x3F003F00));
    sums[i] = _mm512_setzero_ps();
  }
  for (int64_t r = 0; r < rounds; ++r) {
    const auto x = (__m512bh)_mm512_set1_epi32(
        static_cast<int>(r & 0x00070007) | 0x3F003F00);
#pragma GCC unroll 12
    for (int i = 0; i < kChains; ++i) {
      sums[i] = _mm512_dpbf16_ps(sums[i], w[i], x);
    }
  }
  for (int i = 0; i < kChains; ++i) {
    sink[i] = _mm512_cvtss_f32(sums[i]);
  }
  return rounds * kChains * 32 * 2;
}

}  // namespace

const KernelTable* avx512_kernels() {
  return &kTable;
}

PeakWork bfloat_work() {
  __builtin_cpu_init();
  return __builtin_cpu_supports("avx512bf16") ? bfloat_work_here : nullptr;
}

}  // namespace rapid

#else

namespace rapid {

const KernelTable* avx512_kernels() {
  return nullptr;
}

PeakWork bfloat_work() {
  return nullptr;
}

}  // namespace rapid

#endif
