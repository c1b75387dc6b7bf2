#include "simd/packed_weight.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "hub/dequantise.h"
#include "hub/tensor_type.h"
#include "simd/panel_memory.h"

namespace rapid {

namespace {

constexpr int kSuper = 256;  // columns of a K block

uint32_t load_u32(const uint8_t* p) {
  uint32_t v = 0;
  std::memcpy(&v, p, sizeof(v));
  return v;
}

// 16 bytes of nibbles: columns 0-15 low, 16-31 high; fifth bits from `high`.
void nibbles_of_32(const uint8_t* qs, uint32_t high, uint8_t* out) {
  for (int i = 0; i < 16; ++i) {
    out[i] = static_cast<uint8_t>((qs[i] & 15) | (high >> i & 1) << 4);
    out[i + 16] =
        static_cast<uint8_t>((qs[i] >> 4) | (high >> (i + 16) & 1) << 4);
  }
}

// Q4_K and Q5_K: pairs of blocks share 32 bytes; `high` has a bit a block.
void codes_of_k(const uint8_t* qs, const uint8_t* high, uint8_t* out) {
  for (int sub = 0; sub < 8; ++sub) {
    const uint8_t* bytes = qs + 32 * (sub / 2);
    const int shift = sub % 2 * 4;
    for (int i = 0; i < 32; ++i) {
      int code = bytes[i] >> shift & 15;
      if (high) {
        code |= (high[i] >> sub & 1) << 4;
      }
      out[32 * sub + i] = static_cast<uint8_t>(code);
    }
  }
}

void codes_of_q6k(const uint8_t* low, const uint8_t* high, uint8_t* out) {
  for (int part = 0; part < 8; ++part) {
    const uint8_t* ql = low + 64 * (part / 4) + 32 * (part % 2);
    const uint8_t* qh = high + 32 * (part / 4);
    const int low_shift = part / 2 % 2 * 4;
    const int high_shift = part % 4 * 2;
    for (int i = 0; i < 32; ++i) {
      out[32 * part + i] = static_cast<uint8_t>(
          (ql[i] >> low_shift & 15) | (qh[i] >> high_shift & 3) << 4);
    }
  }
}

// 32 fields of `Bits` bits from MLX's little-endian stream.
template <int Bits>
void codes_of_stream(const uint8_t* p, uint8_t* out) {
  for (int i = 0; i < 32; i += 8, p += Bits) {
    uint64_t stream = 0;
    std::memcpy(&stream, p, Bits);
    for (int j = 0; j < 8; ++j) {
      out[i + j] =
          static_cast<uint8_t>(stream >> (j * Bits) & ((1 << Bits) - 1));
    }
  }
}

// One block's expanded bytes: [group][4 * row + column].
using Tile = uint8_t[8][64];

void place_row(Tile& tile, int row, const uint8_t* codes) {
  for (int group = 0; group < 8; ++group) {
    std::memcpy(tile[group] + 4 * row, codes + 4 * group, 4);
  }
}

// Bit 4 of eight bytes, gathered into one.
uint8_t gather_fifth(const uint8_t* bytes) {
  uint64_t v = 0;
  std::memcpy(&v, bytes, sizeof(v));
  v = v >> 4 & 0x0101010101010101u;
  return static_cast<uint8_t>(v * 0x0102040810204080u >> 56);
}

template <int Bits>
void store_codes(const Tile& tile, uint8_t* out) {
  if constexpr (Bits == 8) {
    std::memcpy(out, tile, sizeof(Tile));
    return;
  }
  for (int j = 0; j < 4; ++j) {
    for (int i = 0; i < 64; ++i) {
      out[64 * j + i] = static_cast<uint8_t>(
          (tile[2 * j][i] & 15) | (tile[2 * j + 1][i] & 15) << 4);
    }
  }
  if constexpr (Bits == 5) {
    for (int i = 0; i < 64; ++i) {
      out[256 + i] = gather_fifth(tile[i / 8] + i % 8 * 8);
    }
  }
  if constexpr (Bits == 6) {
    for (int h = 0; h < 2; ++h) {
      for (int i = 0; i < 64; ++i) {
        uint8_t bits = 0;
        for (int k = 0; k < 4; ++k) {
          bits |= static_cast<uint8_t>(tile[4 * h + k][i] >> 4 << (2 * k));
        }
        out[256 + 64 * h + i] = bits;
      }
    }
  }
}

// The 6-bit scale and minimum of block `sub` in ggml's 12-byte packing.
void scale_and_min(const uint8_t* packed, int sub, int& scale, int& min) {
  if (sub < 4) {
    scale = packed[sub] & 63;
    min = packed[sub + 4] & 63;
  } else {
    scale = (packed[sub + 4] & 15) | (packed[sub - 4] >> 6) << 4;
    min = (packed[sub + 4] >> 4) | (packed[sub] >> 6) << 4;
  }
}

void place_k_header(uint8_t* header, int row, const uint8_t* file) {
  std::memcpy(header + 2 * row, file, 2);           // d
  std::memcpy(header + 32 + 2 * row, file + 2, 2);  // dmin
  for (int sub = 0; sub < 8; ++sub) {
    int scale = 0;
    int min = 0;
    scale_and_min(file + 4, sub, scale, min);
    header[64 + 16 * sub + row] =
        static_cast<uint8_t>((scale & 15) | (min & 15) << 4);
    header[192 + 16 * (sub % 4) + row] |=
        static_cast<uint8_t>((scale >> 4 | min >> 4 << 2) << (sub < 4 ? 0 : 4));
  }
}

// Header and codes of one super-block of one row. `codes` has room for 256.
template <PackedFormat Format>
void read_stored(
    const uint8_t* file, int row, uint8_t* header, uint8_t* codes) {
  using P = PackedFormat;
  if constexpr (Format == P::q4_0) {
    std::memcpy(header + 2 * row, file, 2);
    nibbles_of_32(file + 2, 0, codes);
  } else if constexpr (Format == P::q4_1) {
    std::memcpy(header + 2 * row, file, 2);
    std::memcpy(header + 32 + 2 * row, file + 2, 2);
    nibbles_of_32(file + 4, 0, codes);
  } else if constexpr (Format == P::q5_0) {
    std::memcpy(header + 2 * row, file, 2);
    nibbles_of_32(file + 6, load_u32(file + 2), codes);
  } else if constexpr (Format == P::q5_1) {
    std::memcpy(header + 2 * row, file, 2);
    std::memcpy(header + 32 + 2 * row, file + 2, 2);
    nibbles_of_32(file + 8, load_u32(file + 4), codes);
  } else if constexpr (Format == P::q8_0) {
    std::memcpy(header + 2 * row, file, 2);
    for (int i = 0; i < 32; ++i) {
      codes[i] = file[2 + i] ^ 0x80;  // int8 + 128
    }
  } else if constexpr (Format == P::q4_k) {
    place_k_header(header, row, file);
    codes_of_k(file + 16, nullptr, codes);
  } else if constexpr (Format == P::q5_k) {
    place_k_header(header, row, file);
    codes_of_k(file + 48, file + 16, codes);
  } else if constexpr (Format == P::q6_k) {
    std::memcpy(header + 2 * row, file + 208, 2);
    for (int group = 0; group < 16; ++group) {
      header[32 + 16 * group + row] = file[192 + group];
    }
    codes_of_q6k(file, file + 128, codes);
  } else if constexpr (Format == P::mxfp4) {
    header[row] = file[0];
    nibbles_of_32(file + 1, 0, codes);
  }
}

// The same from MLX's separate arrays; group `index` of row `at`.
template <typename Layout>
void read_packed(
    const RowSource& s,
    int64_t at,
    int index,
    int blocks,
    int row,
    uint8_t* header,
    uint8_t* codes) {
  const uint8_t* scales =
      s.scales + static_cast<size_t>(at) * s.scale_row_bytes;
  if constexpr (Layout::kKind == ScaleKind::exponent) {
    header[row] = scales[index];
  } else {
    const uint8_t* biases =
        s.biases + static_cast<size_t>(at) * s.scale_row_bytes;
    std::memcpy(header + 2 * row, scales + 2 * index, 2);
    std::memcpy(header + 32 + 2 * row, biases + 2 * index, 2);
  }
  const uint8_t* p = s.data + static_cast<size_t>(at) * s.row_bytes +
                     static_cast<size_t>(index) * blocks * 4 * Layout::kBits;
  for (int b = 0; b < blocks; ++b, p += 4 * Layout::kBits) {
    codes_of_stream<Layout::kBits>(p, codes + 32 * b);
  }
}

template <PackedFormat Format, typename Layout>
void pack_as(PackedWeight& out, const RowSource& s, int begin, int end) {
  const int blocks = out.layout.blocks;
  const size_t super_bytes = Layout::kHeader + blocks * Layout::kCodes;
  const int supers = out.cols / (kDotBlock * blocks);
  const size_t file_block = s.packed ? 0 : s.row_bytes / supers;
  uint8_t codes[kPanelRows][kSuper];
  for (int index = begin; index < end; ++index) {
    uint8_t* panel =
        out.data.get() + static_cast<size_t>(index) * out.panel_bytes;
    const int first = index * kPanelRows;
    const int count = std::min(kPanelRows, out.rows - first);
    std::memset(codes, 0, sizeof(codes));
    for (int super = 0; super < supers; ++super, panel += super_bytes) {
      std::memset(panel, 0, Layout::kHeader);
      for (int row = 0; row < count; ++row) {
        const int64_t at = first + row;
        if (!s.packed) {
          const uint8_t* file = s.data + at * s.row_bytes + super * file_block;
          read_stored<Format>(file, row, panel, codes[row]);
        } else if constexpr (
            Layout::kKind == ScaleKind::affine ||
            Layout::kKind == ScaleKind::exponent) {
          read_packed<Layout>(s, at, super, blocks, row, panel, codes[row]);
        }
      }
      for (int b = 0; b < blocks; ++b) {
        Tile tile;
        for (int row = 0; row < kPanelRows; ++row) {
          place_row(tile, row, codes[row] + kDotBlock * b);
        }
        store_codes<Layout::kBits>(
            tile, panel + Layout::kHeader + b * Layout::kCodes);
      }
    }
  }
}

// Code of one row and column of a block.
template <int Bits>
int code_at(const uint8_t* block, int row, int column) {
  const int group = column / 4;
  const int lane = 4 * row + column % 4;
  if constexpr (Bits == 8) {
    return block[64 * group + lane];
  }
  int code = block[64 * (group / 2) + lane] >> (group % 2 * 4) & 15;
  if constexpr (Bits == 5) {
    code |= (block[256 + 8 * group + lane / 8] >> (lane % 8) & 1) << 4;
  }
  if constexpr (Bits == 6) {
    code |= (block[256 + 64 * (group / 4) + lane] >> (2 * (group % 4)) & 3)
            << 4;
  }
  return code;
}

float half_at(const uint8_t* p) {
  uint16_t bits = 0;
  std::memcpy(&bits, p, sizeof(bits));
  return half_to_float(bits);
}

float brain_at(const uint8_t* p) {
  uint16_t bits = 0;
  std::memcpy(&bits, p, sizeof(bits));
  return bfloat_to_float(bits);
}

float exponent_at(uint32_t e) {
  return std::bit_cast<float>(e < 2 ? 0x00200000u << e : (e - 1) << 23);
}

// Twice the value of an e2m1 code.
int twice_e2m1(int code) {
  constexpr int kValues[16] = {
      0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};
  return kValues[code];
}

// value = (code - offset) * scale + min, the same for 16 columns.
struct RowScale {
  float scale = 0;
  float min = 0;
};

template <typename Layout>
RowScale row_scale(
    const uint8_t* header, int block, int column, int row, bool brain) {
  RowScale out;
  if constexpr (Layout::kKind == ScaleKind::simple) {
    out.scale = half_at(header + 2 * row);
    if constexpr (Layout::kHasMin) {
      out.min = half_at(header + 32 + 2 * row);
    }
  } else if constexpr (Layout::kKind == ScaleKind::affine) {
    const auto read = brain ? brain_at : half_at;
    out.scale = read(header + 2 * row);
    out.min = read(header + 32 + 2 * row);
  } else if constexpr (Layout::kKind == ScaleKind::exponent) {
    out.scale = exponent_at(header[row]);
  } else if constexpr (Layout::kKind == ScaleKind::k_min) {
    const int low = header[64 + 16 * block + row];
    const int high =
        header[192 + 16 * (block % 4) + row] >> (block < 4 ? 0 : 4);
    const int scale = (low & 15) | (high & 3) << 4;
    const int min = low >> 4 | (high >> 2 & 3) << 4;
    out.scale = half_at(header + 2 * row) * static_cast<float>(scale);
    out.min = -(half_at(header + 32 + 2 * row) * static_cast<float>(min));
  } else {
    const auto scale =
        static_cast<int8_t>(header[32 + 32 * block + column / 16 * 16 + row]);
    out.scale = half_at(header + 2 * row) * static_cast<float>(scale);
  }
  return out;
}

template <typename Layout>
float value_of(int code, const RowScale& s) {
  if constexpr (Layout::kKind == ScaleKind::exponent) {
    return static_cast<float>(twice_e2m1(code)) * s.scale;
  } else if constexpr (Layout::kHasMin) {
    return static_cast<float>(code) * s.scale + s.min;
  } else {
    return static_cast<float>(code - Layout::kOffset) * s.scale;
  }
}

template <typename Layout>
void unpack_as(const PackedWeight& w, int64_t at, float* out) {
  const uint8_t* super = w.panel(static_cast<int>(at / kPanelRows));
  const int row = static_cast<int>(at % kPanelRows);
  const int blocks = w.layout.blocks;
  for (int column = 0; column < w.cols;
       super += Layout::kHeader + blocks * Layout::kCodes) {
    for (int b = 0; b < blocks; ++b) {
      const uint8_t* block = super + Layout::kHeader + b * Layout::kCodes;
      for (int i = 0; i < kDotBlock; i += 16, column += 16) {
        const RowScale s = row_scale<Layout>(super, b, i, row, w.layout.brain);
        for (int j = 0; j < 16; ++j) {
          const int code = code_at<Layout::kBits>(block, row, i + j);
          out[column + j] = value_of<Layout>(code, s);
        }
      }
    }
  }
}

std::optional<PackedFormat> affine_format(int bits) {
  switch (bits) {
    case 4:
      return PackedFormat::affine4;
    case 5:
      return PackedFormat::affine5;
    case 6:
      return PackedFormat::affine6;
    case 8:
      return PackedFormat::affine8;
    default:
      return std::nullopt;
  }
}

std::optional<PackedFormat> stored_format(TensorType type) {
  switch (type) {
    case TensorType::q4_0:
      return PackedFormat::q4_0;
    case TensorType::q4_1:
      return PackedFormat::q4_1;
    case TensorType::q5_0:
      return PackedFormat::q5_0;
    case TensorType::q5_1:
      return PackedFormat::q5_1;
    case TensorType::q8_0:
      return PackedFormat::q8_0;
    case TensorType::q4_k:
      return PackedFormat::q4_k;
    case TensorType::q5_k:
      return PackedFormat::q5_k;
    case TensorType::q6_k:
      return PackedFormat::q6_k;
    case TensorType::mxfp4:
      return PackedFormat::mxfp4;
    default:
      return std::nullopt;
  }
}

}  // namespace

std::optional<PackedFormat> packed_format(const RowSource& s) {
  if (!s.packed) {
    return stored_format(s.type);
  }
  if (s.scheme.mode == QuantMode::mxfp4) {
    return PackedFormat::mxfp4;
  }
  const bool halves =
      s.scale_type == TensorType::f16 || s.scale_type == TensorType::bf16;
  return s.scheme.mode == QuantMode::affine && halves && s.biases
             ? affine_format(s.scheme.bits)
             : std::nullopt;
}

PackedWeight allocate_packed(
    PackedFormat format, const RowSource& source, int rows) {
  PackedWeight out;
  out.format = format;
  out.rows = rows;
  out.cols = source.cols;
  with_layout(format, [&]<PackedFormat, typename Layout>() {
    out.layout.blocks = Layout::kKind == ScaleKind::affine
                            ? source.scheme.group_size / kDotBlock
                            : Layout::kBlocks;
    out.layout.brain = source.scale_type == TensorType::bf16;
    out.panel_bytes =
        static_cast<size_t>(source.cols / (kDotBlock * out.layout.blocks)) *
        (Layout::kHeader + out.layout.blocks * Layout::kCodes);
  });
  out.bytes = out.panel_bytes * static_cast<size_t>(out.panels());
  out.data = take_panel_memory(out.bytes);
  return out;
}

void pack_panels(
    PackedWeight& out, const RowSource& source, int begin, int end) {
  with_layout(out.format, [&]<PackedFormat Format, typename Layout>() {
    pack_as<Format, Layout>(out, source, begin, end);
  });
}

void unpack_row(const PackedWeight& weight, int64_t row, float* out) {
  with_layout(weight.format, [&]<PackedFormat, typename Layout>() {
    unpack_as<Layout>(weight, row, out);
  });
}

}  // namespace rapid
