// Integer dot products over packed panels (packed_layout.h) and the
// quantisation of activations. kLanes rows of a panel are computed at a time;
// a panel has kPanelRows / kLanes such parts.

constexpr int kCodeBytes = 4 * kLanes;

inline Codes load_codes(const uint8_t* p) {
  Codes v;
  memcpy(&v, p, sizeof(v));
  return v;
}

template <int Bits>
constexpr bool is_signed_code() {
  return Bits == 8 && kSignedEights;
}

// What stored codes are above their value, as dot4 sees them.
template <typename Layout>
constexpr int code_offset() {
  return is_signed_code<Layout::kBits>() ? Layout::kOffset - 128
                                         : Layout::kOffset;
}

// One block's codes of one part as eight groups of kLanes rows x 4 columns.
template <typename Layout>
inline void expand_codes(const uint8_t* p, int part, Codes (&u)[8]) {
  const int at = part * kCodeBytes;
  if constexpr (Layout::kBits == 8) {
    for (int g = 0; g < 8; ++g) {
      u[g] = load_codes(p + 64 * g + at);
      if constexpr (kSignedEights) {
        u[g] ^= 0x80;
      }
    }
    return;
  }
  for (int j = 0; j < 4; ++j) {
    const Codes v = load_codes(p + 64 * j + at);
    u[2 * j] = v & 15;
    u[2 * j + 1] = v >> 4;
  }
  if constexpr (Layout::kBits == 5) {
    for (int g = 0; g < 8; ++g) {
      u[g] |= fifth_bits_of(p + 256 + 8 * g + at / 8);
    }
  }
  if constexpr (Layout::kBits == 6) {
    for (int h = 0; h < 2; ++h) {
      const Codes v = load_codes(p + 256 + 64 * h + at);
      u[4 * h] |= v << 4 & 0x30;
      u[4 * h + 1] |= v << 2 & 0x30;
      u[4 * h + 2] |= v & 0x30;
      u[4 * h + 3] |= v >> 2 & 0x30;
    }
  }
  if constexpr (Layout::kKind == ScaleKind::exponent) {
    // e2m1 doubled, plus 12: every value is an unsigned byte.
    const Bytes16 table = {
        12, 13, 14, 15, 16, 18, 20, 24, 12, 11, 10, 9, 8, 6, 4, 0};
    for (int g = 0; g < 8; ++g) {
      u[g] = lookup(table, u[g]);
    }
  }
}

// Scale and minimum of one block for kLanes rows, from the header.
struct BlockScale {
  Vec scale;
  Vec min;
  IntVec low;   // k_signed: integer scales of columns 0-15
  IntVec high;  // and 16-31
};

template <typename Layout>
inline BlockScale block_scale(
    const uint8_t* header, int block, int part, bool brain) {
  BlockScale out = {};
  const int row = part * kLanes;
  if constexpr (Layout::kKind == ScaleKind::simple) {
    out.scale = half_lanes(header + 2 * row);
    if constexpr (Layout::kHasMin) {
      out.min = half_lanes(header + 32 + 2 * row);
    }
  } else if constexpr (Layout::kKind == ScaleKind::affine) {
    out.scale =
        brain ? brain_lanes(header + 2 * row) : half_lanes(header + 2 * row);
    out.min = brain ? brain_lanes(header + 32 + 2 * row)
                    : half_lanes(header + 32 + 2 * row);
  } else if constexpr (Layout::kKind == ScaleKind::exponent) {
    // 2^(e - 128), as the table holds doubled values; e < 2 is subnormal.
    const IntVec e = ints_of_bytes(header + row);
    const IntVec small = e == 0 ? IntVec{} + 0x00200000 : IntVec{} + 0x00400000;
    out.scale = (Vec)(e < 2 ? small : (e - 1) << 23);
  } else if constexpr (Layout::kKind == ScaleKind::k_min) {
    const IntVec low = ints_of_bytes(header + 64 + 16 * block + row);
    const IntVec high = ints_of_bytes(header + 192 + 16 * (block % 4) + row) >>
                        (block < 4 ? 0 : 4);
    const IntVec scale = (low & 15) | (high & 3) << 4;
    const IntVec min = low >> 4 | (high >> 2 & 3) << 4;
    out.scale =
        half_lanes(header + 2 * row) * __builtin_convertvector(scale, Vec);
    out.min = -(
        half_lanes(header + 32 + 2 * row) * __builtin_convertvector(min, Vec));
  } else {
    out.scale = half_lanes(header + 2 * row);
    out.low = ints_of_signed(header + 32 + 32 * block + row);
    out.high = ints_of_signed(header + 48 + 32 * block + row);
  }
  return out;
}

// Adds one block's product to kLanes row sums.
template <typename Layout>
inline Vec add_block(
    Vec total,
    const Codes (&u)[8],
    const BlockScale& w,
    const QuantisedRow& x,
    int block) {
  constexpr int kBits = Layout::kBits;
  constexpr int kOffset = code_offset<Layout>();
  const int8_t* a = x.codes + kDotBlock * block;
  const int32_t* sums = x.sums + 2 * block;
  IntVec first = {};
  IntVec second = {};
  if constexpr (Layout::kKind == ScaleKind::k_signed) {
    first -= kOffset * sums[0];
    second -= kOffset * sums[1];
    first = dot16<kBits>(first, u, a);
    second = dot16<kBits>(second, u + 4, a + 16);
    first *= w.low;
    second *= w.high;
  } else {
    if constexpr (kOffset != 0) {
      first -= kOffset * (sums[0] + sums[1]);
    }
    first = dot16<kBits>(first, u, a);
    second = dot16<kBits>(second, u + 4, a + 16);
  }
  const Vec product = __builtin_convertvector(first + second, Vec);
  const Vec scale = splat(x.scales[block]);
  if constexpr (Layout::kHasMin) {
    const Vec all = splat(static_cast<float>(sums[0] + sums[1]));
    return fma(fma(w.min, all, product * w.scale), scale, total);
  } else {
    return fma(product, w.scale * scale, total);
  }
}

constexpr size_t kAhead = 8192;  // bytes; the latency of memory at full speed

// Activation rows x[0..M) times one part of one panel. The first to read a
// panel asks for what comes behind it.
template <typename Layout, int M>
inline void part_dots(
    const PanelSource& w,
    const uint8_t* super,
    int part,
    bool first_to_read,
    const QuantisedRow* x,
    Vec (&total)[M]) {
  const int blocks =
      Layout::kKind == ScaleKind::affine ? w.layout.blocks : Layout::kBlocks;
  for (int m = 0; m < M; ++m) {
    total[m] = Vec{};
  }
  const int all = w.cols / kDotBlock;
  for (int first = 0; first < all; first += blocks) {
    for (int b = 0; b < blocks; ++b) {
      const uint8_t* codes = super + Layout::kHeader + b * Layout::kCodes;
      if (first_to_read) {
        for (size_t line = 0; line < Layout::kCodes; line += 64) {
          __builtin_prefetch(codes + kAhead + line);
        }
      }
      Codes u[8];
      expand_codes<Layout>(codes, part, u);
      const BlockScale scale =
          block_scale<Layout>(super, b, part, w.layout.brain);
      for (int m = 0; m < M; ++m) {
        total[m] = add_block<Layout>(total[m], u, scale, x[m], first + b);
      }
    }
    super += Layout::kHeader + blocks * Layout::kCodes;
  }
}

template <typename Layout, int M>
inline void panel_dots(
    const PanelSource& w,
    const QuantisedRow* x,
    int index,
    bool first_to_read,
    float* out,
    int64_t out_stride) {
  const uint8_t* panel = w.data + static_cast<size_t>(index) * w.panel_bytes;
  for (int part = 0; part < kPanelRows / kLanes; ++part) {
    const int row = index * kPanelRows + part * kLanes;
    if (row >= w.rows) {
      return;
    }
    Vec total[M];
    part_dots<Layout, M>(w, panel, part, first_to_read && part == 0, x, total);
    const int left = w.rows - row < kLanes ? w.rows - row : kLanes;
    for (int m = 0; m < M; ++m) {
      float* to = out + m * out_stride + part * kLanes;
      if (left == kLanes) {
        store(to, total[m]);
      } else {
        store_part(to, total[m], left);
      }
    }
  }
}

template <typename Layout>
void packed_dots_as(
    const PanelSource& w,
    const QuantisedRow* x,
    int rows,
    int begin,
    int end,
    float* out,
    int64_t out_stride) {
  constexpr int kRowsInCache = 64;  // activations that stay in the L2 cache
  for (int first = 0; first < rows; first += kRowsInCache) {
    const int last = rows - first < kRowsInCache ? rows : first + kRowsInCache;
    for (int index = begin; index < end; ++index) {
      float* to = out + (index - begin) * kPanelRows;
      int m = first;
      for (; m + kPackedRows <= last; m += kPackedRows) {
        panel_dots<Layout, kPackedRows>(
            w, x + m, index, m == 0, to + m * out_stride, out_stride);
      }
      if constexpr (kPackedRows > 4) {
        for (; m + 4 <= last; m += 4) {
          panel_dots<Layout, 4>(
              w, x + m, index, m == 0, to + m * out_stride, out_stride);
        }
      }
      for (; m + 2 <= last; m += 2) {
        panel_dots<Layout, 2>(
            w, x + m, index, m == 0, to + m * out_stride, out_stride);
      }
      for (; m < last; ++m) {
        panel_dots<Layout, 1>(
            w, x + m, index, m == 0, to + m * out_stride, out_stride);
      }
    }
  }
}

void packed_dots(
    const PanelSource& w,
    const QuantisedRow* x,
    int rows,
    int begin,
    int end,
    float* out,
    int64_t out_stride) {
  with_layout(w.format, [&]<PackedFormat, typename Layout>() {
    packed_dots_as<Layout>(w, x, rows, begin, end, out, out_stride);
  });
}

void quantise(
    const float* x, int cols, int8_t* codes, float* scales, int32_t* sums) {
  using Narrow = int8_t __attribute__((vector_size(kLanes)));
  const Vec magic = splat(12582912.0f);  // 1.5 * 2^23: rounds to nearest even
  for (int block = 0; block < cols / kDotBlock; ++block) {
    const float* in = x + block * kDotBlock;
    int8_t* out = codes + block * kDotBlock;
    Vec top = {};
    for (int i = 0; i < kDotBlock; i += kLanes) {
      const Vec v = load(in + i);
      const Vec size = v < 0 ? -v : v;
      top = size > top ? size : top;
    }
    float largest = 0;
    for (int lane = 0; lane < kLanes; ++lane) {
      largest = top[lane] > largest ? top[lane] : largest;
    }
    // Below that the quotient would not be finite.
    const float inverse = largest > 1e-30f ? 127.0f / largest : 0.0f;
    scales[block] = largest / 127.0f;
    for (int half = 0; half < 2; ++half) {
      IntVec sum = {};
      for (int at = half * 16; at < half * 16 + 16; at += kLanes) {
        const Vec shifted = fma(load(in + at), splat(inverse), magic);
        const IntVec code = (IntVec)shifted - 0x4B400000;
        const Narrow bytes = __builtin_convertvector(code, Narrow);
        memcpy(out + at, &bytes, sizeof(bytes));
        sum += code;
      }
      int32_t all = 0;
      for (int lane = 0; lane < kLanes; ++lane) {
        all += sum[lane];
      }
      sums[2 * block + half] = all;
    }
  }
}
