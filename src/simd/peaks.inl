// What this instruction set can do at most: loops that only read, only
// multiply. Each round has work that no compiler can move out of the loop.

// `bytes` is a multiple of 256.
uint64_t read_all(const uint8_t* p, size_t bytes) {
  constexpr size_t kStep = 4 * sizeof(IntVec);
  IntVec sums[4] = {};
  for (size_t at = 0; at < bytes; at += kStep) {
    for (size_t line = 0; line < kStep; line += 64) {
      __builtin_prefetch(p + at + kAhead + line);
    }
    for (int i = 0; i < 4; ++i) {
      IntVec v;
      memcpy(&v, p + at + i * sizeof(v), sizeof(v));
      sums[i] ^= v;
    }
  }
  const IntVec all = (sums[0] ^ sums[1]) ^ (sums[2] ^ sums[3]);
  uint32_t out = 0;
  for (int lane = 0; lane < kLanes; ++lane) {
    out ^= static_cast<uint32_t>(all[lane]);
  }
  return out;
}

constexpr int kChains = kLanes == 16 ? 12 : 6;

int64_t int8_work(const uint8_t* data, int64_t rounds, float* sink) {
  Codes u[kChains];
  IntVec sums[kChains] = {};
  for (int i = 0; i < kChains; ++i) {
    u[i] = load_codes(data + 64 * i) & 15;
  }
  for (int64_t r = 0; r < rounds; ++r) {
    const auto x = static_cast<int32_t>(r & 0x07070707);
#pragma GCC unroll 12
    for (int i = 0; i < kChains; ++i) {
      sums[i] = dot4<4>(sums[i], u[i], x);
    }
  }
  for (int i = 0; i < kChains; ++i) {
    sink[i] = static_cast<float>(sums[i][0]);
  }
  return rounds * kChains * kLanes * 4 * 2;
}

int64_t float_work(const uint8_t* data, int64_t rounds, float* sink) {
  Vec w[kChains];
  Vec sums[kChains] = {};
  for (int i = 0; i < kChains; ++i) {
    w[i] = __builtin_convertvector(ints_of_bytes(data + 64 * i), Vec);
  }
  for (int64_t r = 0; r < rounds; ++r) {
    const Vec x = splat(static_cast<float>(r & 7));
#pragma GCC unroll 12
    for (int i = 0; i < kChains; ++i) {
      sums[i] = fma(w[i], x, sums[i]);
    }
  }
  for (int i = 0; i < kChains; ++i) {
    sink[i] = sums[i][0];
  }
  return rounds * kChains * kLanes * 2;
}
