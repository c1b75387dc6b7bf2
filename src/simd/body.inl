// Included inside an anonymous namespace that has set kLanes, kTileRows, Vec,
// IntVec, fma, sum, half, halves, Bytes16 and widen (16 bytes to floats), and
// for packed panels Codes (4 * kLanes bytes), kSignedEights, kPackedRows,
// half_lanes, store_halves, ints_of_bytes, ints_of_signed, fifth_bits_of,
// lookup and dot4. The rest is in defaults.inl or the instruction set's own.

inline Vec load(const float* p) {
  Vec v;
  memcpy(&v, p, sizeof(Vec));
  return v;
}

inline void store(float* p, Vec v) {
  memcpy(p, &v, sizeof(Vec));
}

// The first n lanes, zeros after them.
inline Vec load_part(const float* p, int n) {
  float lanes[kLanes] = {};
  memcpy(lanes, p, static_cast<size_t>(n) * sizeof(float));
  return load(lanes);
}

inline void store_part(float* p, Vec v, int n) {
  float lanes[kLanes];
  store(lanes, v);
  memcpy(p, lanes, static_cast<size_t>(n) * sizeof(float));
}

// Adding 0 would cost an instruction, as it is no identity for -0.
inline Vec splat(float x) {
  return x - Vec{};
}

#include "simd/expand.inl"
#include "simd/mlx_packed.inl"
// Products and sums over rows.
#include "simd/dots.inl"
#include "simd/packed_dots.inl"
#include "simd/rows.inl"
// On top of those.
#include "simd/attend.inl"
#include "simd/kv_codes.inl"
#include "simd/recurrent.inl"
// For measuring.
#include "simd/peaks.inl"

constexpr KernelTable kTable = {
    expand,   dots,         half_dots,     weighted_sum,  to_halves,
    quantise, packed_dots,  rms_norm,      silu,          gelu,
    exp_sum,  attend,       attend_halves, merge,         fold,
    conv,     sigmoid_gate, to_codes,      keys_of_codes, values_of_codes,
    read_all, int8_work,    float_work};
