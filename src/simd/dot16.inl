// For instruction sets without a dot product by lane: four groups of codes
// with 16 activations, each four of these broadcast to all lanes.
template <int Bits>
inline IntVec dot16(IntVec sum, const Codes* u, const int8_t* a) {
  int32_t fours[4];
  memcpy(fours, a, sizeof(fours));
  for (int g = 0; g < 4; ++g) {
    sum = dot4<Bits>(sum, u[g], fours[g]);
  }
  return sum;
}
