// Steps of recurrent layers. A column's or channel's result does not depend on
// its neighbours.

// Columns [0, C * kLanes) of the state.
template <int C>
inline void fold_strip(const FoldToken& t, float* state, int64_t stride) {
  Vec u[C];
  for (int c = 0; c < C; ++c) {
    u[c] = load(t.value + c * kLanes);
  }
  if (t.delta) {
    Vec seen[C] = {};
    for (int i = 0; i < t.dim; ++i) {
      const Vec k = splat(t.key[i]);
      for (int c = 0; c < C; ++c) {
        seen[c] = fma(k, load(state + i * stride + c * kLanes), seen[c]);
      }
    }
    for (int c = 0; c < C; ++c) {
      u[c] = (u[c] - seen[c] * t.decay) * t.beta;
    }
  }
  Vec out[C] = {};
  const Vec decay = splat(t.decay);
  for (int i = 0; i < t.dim; ++i) {
    const Vec k = splat(t.key[i]);
    const Vec q = splat(t.query[i]);
    float* row = state + i * stride;
    for (int c = 0; c < C; ++c) {
      const Vec s = fma(k, u[c], load(row + c * kLanes) * decay);
      store(row + c * kLanes, s);
      out[c] = fma(q, s, out[c]);
    }
  }
  for (int c = 0; c < C; ++c) {
    store(t.out + c * kLanes, out[c]);
  }
}

// The columns that fill no vector.
inline void fold_column(const FoldToken& t, float* state, int64_t stride) {
  float u = t.value[0];
  if (t.delta) {
    float seen = 0;
    for (int i = 0; i < t.dim; ++i) {
      seen += t.key[i] * state[i * stride];
    }
    u = (u - seen * t.decay) * t.beta;
  }
  float out = 0;
  for (int i = 0; i < t.dim; ++i) {
    float* s = state + i * stride;
    *s = *s * t.decay + t.key[i] * u;
    out += t.query[i] * *s;
  }
  t.out[0] = out;
}

void fold(const FoldToken& token, float* state, int64_t stride, int width) {
  FoldToken t = token;
  const auto next = [&](int count) {
    state += count;
    t.value += count;
    t.out += count;
    width -= count;
  };
  while (width >= 4 * kLanes) {
    fold_strip<4>(t, state, stride);
    next(4 * kLanes);
  }
  while (width >= kLanes) {
    fold_strip<1>(t, state, stride);
    next(kLanes);
  }
  while (width > 0) {
    fold_column(t, state, stride);
    next(1);
  }
}

inline Vec conv_vec(const ConvTaps& c, int i, int n) {
  const auto part = [&](const float* p) {
    return n < kLanes ? load_part(p + i, n) : load(p + i);
  };
  Vec y = c.bias ? part(c.bias) : Vec{};
  for (int j = 0; j < c.kernel; ++j) {
    y = fma(part(c.weight + j * c.stride), part(c.taps[j]), y);
  }
  return c.silu ? y / (vexp(-y) + 1.0f) : y;
}

void conv(const ConvTaps& c, int n, float* out) {
  int i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    store(out + i, conv_vec(c, i, kLanes));
  }
  if (i < n) {
    store_part(out + i, conv_vec(c, i, n - i), n - i);
  }
}

inline Vec sigmoid_times(Vec g, Vec x) {
  return x / (vexp(-g) + 1.0f);
}

void sigmoid_gate(const float* gate, const float* x, int64_t n, float* out) {
  map_two<sigmoid_times>(gate, x, n, out);
}
