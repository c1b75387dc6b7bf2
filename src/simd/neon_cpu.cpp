// AArch64 with the dot product extension (ARMv8.2). Codes are at most 63 or
// come signed, so the signed dot product serves every format.
#include <cmath>
#include <cstring>

#include "simd/simd.h"

#if defined(__aarch64__) && defined(__ARM_FEATURE_DOTPROD)

#include <arm_neon.h>

namespace rapid {

namespace {

constexpr int kLanes = 4;
constexpr int kTileRows = 4;
using Vec = float __attribute__((vector_size(16)));
using IntVec = int32_t __attribute__((vector_size(16)));

inline Vec fma(Vec a, Vec b, Vec c) {
  return (Vec)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b);
}

inline float sum(Vec v) {
  return (v[0] + v[2]) + (v[1] + v[3]);
}

inline Vec half_lanes(const uint8_t* p) {
  uint16x4_t bits;
  memcpy(&bits, p, sizeof(bits));
  return (Vec)vcvt_f32_f16(vreinterpret_f16_u16(bits));
}

inline Vec brain_lanes(const uint8_t* p) {
  uint16x4_t bits;
  memcpy(&bits, p, sizeof(bits));
  return (Vec)vshll_n_u16(bits, 16);
}

// Rounded to nearest even.
inline void store_halves(uint16_t* p, Vec v) {
  vst1_u16(p, vreinterpret_u16_f16(vcvt_f16_f32((float32x4_t)v)));
}

inline float half(const uint8_t* p) {
  __fp16 value;
  memcpy(&value, p, sizeof(value));
  return value;
}

inline void halves(const uint8_t* p, int n, float* out) {
  int i = 0;
  for (; i + 4 <= n; i += 4) {
    vst1q_f32(out + i, (float32x4_t)half_lanes(p + 2 * i));
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
  const uint16x8_t low = vmovl_u8(vget_low_u8((uint8x16_t)q));
  const uint16x8_t high = vmovl_high_u8((uint8x16_t)q);
  return {
      {(Vec)vcvtq_f32_u32(vmovl_u16(vget_low_u16(low))),
       (Vec)vcvtq_f32_u32(vmovl_high_u16(low)),
       (Vec)vcvtq_f32_u32(vmovl_u16(vget_low_u16(high))),
       (Vec)vcvtq_f32_u32(vmovl_high_u16(high))}};
}

using Codes = uint8_t __attribute__((vector_size(16)));
constexpr bool kSignedEights = true;
constexpr int kPackedRows = 4;

inline uint32_t four_lanes(const uint8_t* p) {
  uint32_t bytes;
  memcpy(&bytes, p, sizeof(bytes));
  return bytes;
}

inline IntVec ints_of_bytes(const uint8_t* p) {
  const uint8x8_t bytes = vcreate_u8(four_lanes(p));
  return (IntVec)vmovl_u16(vget_low_u16(vmovl_u8(bytes)));
}

inline IntVec ints_of_signed(const uint8_t* p) {
  const int8x8_t bytes = vcreate_s8(four_lanes(p));
  return (IntVec)vmovl_s16(vget_low_s16(vmovl_s8(bytes)));
}

// 16 in each byte whose bit is set.
inline Codes fifth_bits_of(const uint8_t* p) {
  const Codes bit = {1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};
  const Codes first = {0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1};
  uint16_t mask;
  memcpy(&mask, p, sizeof(mask));
  const uint8x16_t both = vreinterpretq_u8_u16(vdupq_n_u16(mask));
  const uint8x16_t bytes = vqtbl1q_u8(both, (uint8x16_t)first);
  return (Codes)vandq_u8(vtstq_u8(bytes, (uint8x16_t)bit), vdupq_n_u8(16));
}

inline Codes lookup(Bytes16 table, Codes at) {
  return (Codes)vqtbl1q_u8((uint8x16_t)table, (uint8x16_t)at);
}

// Adds the products of each lane's four codes with the four signed bytes of a.
template <int Bits>
inline IntVec dot4(IntVec sum, Codes u, int32_t a) {
  return (IntVec)vdotq_s32(
      (int32x4_t)sum, (int8x16_t)u, vreinterpretq_s8_s32(vdupq_n_s32(a)));
}

// The products of four groups with 16 activations, four by four in a lane.
template <int Bits>
inline IntVec dot16(IntVec sum, const Codes* u, const int8_t* a) {
  const int8x16_t x = vld1q_s8(a);
  int32x4_t out = (int32x4_t)sum;
  out = vdotq_laneq_s32(out, (int8x16_t)u[0], x, 0);
  out = vdotq_laneq_s32(out, (int8x16_t)u[1], x, 1);
  out = vdotq_laneq_s32(out, (int8x16_t)u[2], x, 2);
  return (IntVec)vdotq_laneq_s32(out, (int8x16_t)u[3], x, 3);
}

#include "simd/body.inl"

}  // namespace

const KernelTable* neon_kernels() {
  return &kTable;
}

}  // namespace rapid

#else

namespace rapid {

const KernelTable* neon_kernels() {
  return nullptr;
}

}  // namespace rapid

#endif
