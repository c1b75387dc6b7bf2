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

using Codes = uint8_t __attribute__((vector_size(16)));
constexpr bool kSignedEights = false;
constexpr int kPackedRows = 4;

inline Vec half_lanes(const uint8_t* p) {
  return Vec{half(p), half(p + 2), half(p + 4), half(p + 6)};
}

// To float16, nearest even: below 2^-14 adding 0.5 leaves multiples of 2^-24.
inline uint16_t half_bits(float x) {
  uint32_t bits;
  memcpy(&bits, &x, sizeof(bits));
  const uint32_t sign = bits >> 16 & 0x8000;
  const uint32_t size = bits & 0x7FFFFFFF;
  if (size >= 0x47800000) {
    return static_cast<uint16_t>(sign | (size > 0x7F800000 ? 0x7E00 : 0x7C00));
  }
  if (size < 0x38800000) {
    const float shifted = (x < 0 ? -x : x) + 0.5f;
    memcpy(&bits, &shifted, sizeof(bits));
    return static_cast<uint16_t>(sign | (bits - 0x3F000000));
  }
  const uint32_t rounded = size + 0xFFF + (size >> 13 & 1);
  return static_cast<uint16_t>(sign | (rounded - 0x38000000) >> 13);
}

inline void store_halves(uint16_t* p, Vec v) {
  for (int i = 0; i < kLanes; ++i) {
    p[i] = half_bits(v[i]);
  }
}

inline IntVec ints_of_bytes(const uint8_t* p) {
  return IntVec{p[0], p[1], p[2], p[3]};
}

inline IntVec ints_of_signed(const uint8_t* p) {
  return IntVec{
      static_cast<int8_t>(p[0]),
      static_cast<int8_t>(p[1]),
      static_cast<int8_t>(p[2]),
      static_cast<int8_t>(p[3])};
}

// 16 in each byte whose bit is set.
inline Codes fifth_bits_of(const uint8_t* p) {
  const Codes bit = {1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};
  const uint64_t spread[2] = {
      p[0] * 0x0101010101010101u, p[1] * 0x0101010101010101u};
  Codes bytes;
  memcpy(&bytes, spread, sizeof(bytes));
  return (Codes)((bytes & bit) != 0) & 16;
}

inline Codes lookup(Bytes16 table, Codes at) {
  uint8_t values[16];
  uint8_t out[16];
  memcpy(values, &table, sizeof(values));
  for (int i = 0; i < 16; ++i) {
    out[i] = values[at[i]];
  }
  Codes v;
  memcpy(&v, out, sizeof(v));
  return v;
}

// Adds the products of each lane's four unsigned codes with the four signed
// bytes of a.
template <int Bits>
inline IntVec dot4(IntVec sum, Codes u, int32_t a) {
  int8_t x[4];
  uint8_t codes[16];
  memcpy(x, &a, sizeof(x));
  memcpy(codes, &u, sizeof(codes));
  int32_t out[4];
  for (int lane = 0; lane < kLanes; ++lane) {
    const uint8_t* c = codes + 4 * lane;
    out[lane] = c[0] * x[0] + c[1] * x[1] + c[2] * x[2] + c[3] * x[3];
  }
  IntVec added;
  memcpy(&added, out, sizeof(added));
  return sum + added;
}

#include "simd/defaults.inl"
// What is built on these.
#include "simd/body.inl"

}  // namespace

const KernelTable* scalar_kernels() {
  return &kTable;
}

}  // namespace rapid
