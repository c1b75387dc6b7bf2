// For instruction sets without a dot product by lane: four groups of codes
// with 16 activations, each four of these broadcast to all lanes.
inline int32_t four_bytes(const int8_t* p) {
  int32_t v;
  memcpy(&v, p, 4);
  return v;
}

template <int Bits>
inline IntVec dot16(IntVec sum, const Codes* u, const int8_t* a) {
  for (int g = 0; g < 4; ++g) {
    sum = dot4<Bits>(sum, u[g], four_bytes(a + 4 * g));
  }
  return sum;
}
