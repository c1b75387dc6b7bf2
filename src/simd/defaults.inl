// What an instruction set may leave to the compiler; NEON has its own.
inline Vec brain_lanes(const uint8_t* p) {
  using Shorts = uint16_t __attribute__((vector_size(2 * kLanes)));
  Shorts bits;
  memcpy(&bits, p, sizeof(bits));
  return (Vec)(__builtin_convertvector(bits, IntVec) << 16);
}

inline int32_t four_bytes(const int8_t* p) {
  int32_t v;
  memcpy(&v, p, 4);
  return v;
}

// Products of four groups of codes with 16 activations, four by four broadcast
// to all lanes.
template <int Bits>
inline IntVec dot16(IntVec sum, const Codes* u, const int8_t* a) {
  for (int g = 0; g < 4; ++g) {
    sum = dot4<Bits>(sum, u[g], four_bytes(a + 4 * g));
  }
  return sum;
}
