// Rows to codes and back (kv_codes.h). Multiplying back is one fused step here,
// the same for every tile.

// The least and the largest of 32 floats.
inline void bounds_of(const float* x, float& low, float& high) {
  Vec least = load(x);
  Vec most = least;
  for (int i = kLanes; i < KvCodes::kGroup; i += kLanes) {
    const Vec v = load(x + i);
    least = v < least ? v : least;
    most = v > most ? v : most;
  }
  low = least[0];
  high = most[0];
  for (int i = 1; i < kLanes; ++i) {
    low = least[i] < low ? least[i] : low;
    high = most[i] > high ? most[i] : high;
  }
}

inline void codes_of_group(
    const float* x, float scale, float bias, float top, int32_t* codes) {
  for (int i = 0; i < KvCodes::kGroup; i += kLanes) {
    const Vec zero = {};
    const Vec most = splat(top);
    Vec v = (load(x + i) - bias) / splat(scale);
    v = v > zero ? (v < most ? v : most) : zero;
    const Vec magic = splat(12582912.0f);  // 1.5 * 2^23 rounds to an integer
    const IntVec c = __builtin_convertvector(v + magic - magic, IntVec);
    memcpy(codes + i, &c, sizeof(c));
  }
}

void to_codes(
    const float* x,
    const KvCodes& shape,
    uint8_t* codes,
    uint16_t* scales,
    uint16_t* biases) {
  const auto top = static_cast<float>((1 << shape.bits) - 1);
  for (int g = 0; g < shape.groups; ++g, codes += shape.group_bytes) {
    const int first = g * KvCodes::kGroup;
    float group[KvCodes::kGroup];
    for (int i = 0; i < KvCodes::kGroup; ++i) {
      const int at = first + i;
      group[i] = x[at < shape.dim ? at : shape.dim - 1];
    }
    float low;
    float high;
    bounds_of(group, low, high);
    const float range[2] = {(high - low) / top, low};
    uint16_t rounded[2];
    to_halves(range, 2, rounded);
    scales[g] = rounded[0];
    biases[g] = rounded[1];
    const float scale = element_of(rounded[0]);
    int32_t numbers[KvCodes::kGroup] = {};
    if (scale != 0) {
      codes_of_group(group, scale, element_of(rounded[1]), top, numbers);
    }
    for (int i = 0; i < shape.group_bytes; ++i) {
      const int high_half = shape.bits == 4 ? numbers[i + 16] << 4 : 0;
      codes[i] = static_cast<uint8_t>(numbers[i] | high_half);
    }
  }
}

inline Vec value_of(IntVec code, Vec scale, Vec bias) {
  return fma(__builtin_convertvector(code, Vec), scale, bias);
}

// One group's keys of kLanes tokens; `dims` of its dimensions exist.
template <int Bits>
inline void group_keys(
    const uint8_t* codes, Vec scale, Vec bias, int dims, float* out) {
  constexpr int kTokens = KvCodes::kTokens;
  if constexpr (Bits == 8) {
    for (int i = 0; i < dims; ++i) {
      const IntVec c = ints_of_bytes(codes + i * kTokens);
      store(out + i * kTokens, value_of(c, scale, bias));
    }
    return;
  }
  for (int i = 0; i < (dims < 16 ? dims : 16); ++i) {
    const IntVec c = ints_of_bytes(codes + i * kTokens);
    store(out + i * kTokens, value_of(c & 15, scale, bias));
    if (i + 16 < dims) {
      store(out + (i + 16) * kTokens, value_of(c >> 4, scale, bias));
    }
  }
}

template <int Bits>
inline void block_keys(const KvCodes& shape, const uint8_t* block, float* out) {
  constexpr int kTokens = KvCodes::kTokens;
  for (int g = 0; g < shape.groups; ++g) {
    const int first = g * KvCodes::kGroup;
    const int left = shape.dim - first;
    const int dims = left < KvCodes::kGroup ? left : KvCodes::kGroup;
    const uint8_t* codes = block + g * shape.group_bytes * kTokens;
    for (int j = 0; j < kTokens; j += kLanes) {
      const size_t at = 2 * (static_cast<size_t>(g) * kTokens + j);
      const Vec scale = half_lanes(block + shape.scales_at + at);
      const Vec bias = half_lanes(block + shape.biases_at + at);
      group_keys<Bits>(codes + j, scale, bias, dims, out + first * kTokens + j);
    }
  }
}

// A vector of dimensions from `at` on, those that there are.
inline void store_dims(float* row, int at, int dim, Vec v) {
  if (at + kLanes <= dim) {
    store(row + at, v);
  } else if (at < dim) {
    store_part(row + at, v, dim - at);
  }
}

template <int Bits>
inline void block_values(
    const KvCodes& shape, const uint8_t* block, float* out) {
  const uint8_t* codes = block;
  const uint8_t* scales = block + shape.scales_at;
  const uint8_t* biases = block + shape.biases_at;
  for (int j = 0; j < KvCodes::kTokens; ++j, out += shape.dim) {
    for (int first = 0; first < shape.dim; first += KvCodes::kGroup) {
      const Vec scale = splat(half(scales));
      const Vec bias = splat(half(biases));
      for (int i = 0; i < shape.group_bytes; i += kLanes) {
        const IntVec c = ints_of_bytes(codes + i);
        if constexpr (Bits == 8) {
          store_dims(out, first + i, shape.dim, value_of(c, scale, bias));
        } else {
          const Vec low = value_of(c & 15, scale, bias);
          const Vec high = value_of(c >> 4, scale, bias);
          store_dims(out, first + i, shape.dim, low);
          store_dims(out, first + i + 16, shape.dim, high);
        }
      }
      codes += shape.group_bytes;
      scales += 2;
      biases += 2;
    }
  }
}

void keys_of_codes(const KvCodes& shape, const uint8_t* block, float* out) {
  shape.bits == 8 ? block_keys<8>(shape, block, out)
                  : block_keys<4>(shape, block, out);
}

void values_of_codes(const KvCodes& shape, const uint8_t* block, float* out) {
  shape.bits == 8 ? block_values<8>(shape, block, out)
                  : block_values<4>(shape, block, out);
}
