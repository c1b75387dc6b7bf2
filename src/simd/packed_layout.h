// Byte layout of the panels of packed_weight.h, shared by the packer and by
// the dot kernels of every instruction set.
//
// A panel is 16 rows. It is a run of super-blocks; each is a header for
// `blocks` blocks of 32 columns, then the codes of these blocks.
//
// Codes of one block, as eight groups of 4 columns (64 bytes each when
// expanded: row r holds bytes 4r .. 4r+3):
//   4 low bits   4 x 64 bytes: group 2j in the low, 2j+1 in the high nibbles
//   5th bit      8 x 64 bits:  bit i of group g belongs to expanded byte i
//   bits 5 and 6 2 x 64 bytes: group 4h+i at bits 2i of half h
//   8 bits       8 x 64 bytes
// Header:
//   simple    16 float16 scales, then 16 float16 minimums if there are any
//   affine    the same, as float16 or bfloat16 by RuntimeLayout::brain
//   exponent  16 e8m0 bytes
//   k_min     16 float16 d, 16 float16 dmin, 8 x 16 bytes (scale low nibble,
//             minimum high nibble), 4 x 16 bytes with the upper two bits of
//             scale and minimum of blocks s and s + 4
//   k_signed  16 float16 d, 16 x 16 int8 scales of 16 columns each
#pragma once

#include <cstddef>
#include <cstdint>

namespace rapid {

constexpr int kPanelRows = 16;
constexpr int kDotBlock = 32;  // columns

enum class ScaleKind : uint8_t { simple, affine, exponent, k_min, k_signed };

template <int Bits, bool HasMin, ScaleKind Kind>
struct PanelLayout {
  static constexpr int kBits = Bits;
  static constexpr bool kHasMin = HasMin;
  static constexpr ScaleKind kKind = Kind;
  static constexpr size_t kCodes = 64 * Bits;  // bytes of one block
  // Blocks behind one header; affine groups are as wide as their file says.
  static constexpr int kBlocks = Kind == ScaleKind::k_min      ? 8
                                 : Kind == ScaleKind::k_signed ? 8
                                                               : 1;
  static constexpr size_t kHeader = Kind == ScaleKind::k_min ? 64 + 128 + 64
                                    : Kind == ScaleKind::k_signed ? 32 + 256
                                    : Kind == ScaleKind::exponent ? 16
                                    : HasMin                      ? 64
                                                                  : 32;
  // Codes are stored unsigned; the value is code - kOffset.
  static constexpr int kOffset = HasMin                        ? 0
                                 : Kind == ScaleKind::exponent ? 12
                                 : Bits == 8                   ? 128
                                             : 1 << (Bits - 1);
};

using LayoutQ4_0 = PanelLayout<4, false, ScaleKind::simple>;
using LayoutQ4_1 = PanelLayout<4, true, ScaleKind::simple>;
using LayoutQ5_0 = PanelLayout<5, false, ScaleKind::simple>;
using LayoutQ5_1 = PanelLayout<5, true, ScaleKind::simple>;
using LayoutQ8_0 = PanelLayout<8, false, ScaleKind::simple>;
using LayoutQ4K = PanelLayout<4, true, ScaleKind::k_min>;
using LayoutQ5K = PanelLayout<5, true, ScaleKind::k_min>;
using LayoutQ6K = PanelLayout<6, false, ScaleKind::k_signed>;
using LayoutMxfp4 = PanelLayout<4, false, ScaleKind::exponent>;
using LayoutAffine4 = PanelLayout<4, true, ScaleKind::affine>;
using LayoutAffine5 = PanelLayout<5, true, ScaleKind::affine>;
using LayoutAffine6 = PanelLayout<6, true, ScaleKind::affine>;
using LayoutAffine8 = PanelLayout<8, true, ScaleKind::affine>;

enum class PackedFormat : uint8_t {
  q4_0,
  q4_1,
  q5_0,
  q5_1,
  q8_0,
  q4_k,
  q5_k,
  q6_k,
  mxfp4,
  affine4,
  affine5,
  affine6,
  affine8,
};

// What only affine groups leave open until run time.
struct RuntimeLayout {
  int blocks = 1;      // of 32 columns behind one header
  bool brain = false;  // bfloat16 scales and minimums
};

// Panels as the dot kernels see them.
struct PanelSource {
  const uint8_t* data = nullptr;
  size_t panel_bytes = 0;
  int rows = 0;
  int cols = 0;
  PackedFormat format = PackedFormat::q8_0;
  RuntimeLayout layout;
};

// One row of activations as int8, in blocks of 32 columns with a scale.
struct QuantisedRow {
  const int8_t* codes = nullptr;  // [K]
  const float* scales = nullptr;  // [K / 32]
  const int32_t* sums = nullptr;  // [K / 16]: of 16 codes each
};

// Calls f.template operator()<PackedFormat, Layout>().
template <typename F>
decltype(auto) with_layout(PackedFormat format, F&& f) {
  using P = PackedFormat;
  switch (format) {
    case P::q4_0:
      return f.template operator()<P::q4_0, LayoutQ4_0>();
    case P::q4_1:
      return f.template operator()<P::q4_1, LayoutQ4_1>();
    case P::q5_0:
      return f.template operator()<P::q5_0, LayoutQ5_0>();
    case P::q5_1:
      return f.template operator()<P::q5_1, LayoutQ5_1>();
    case P::q8_0:
      return f.template operator()<P::q8_0, LayoutQ8_0>();
    case P::q4_k:
      return f.template operator()<P::q4_k, LayoutQ4K>();
    case P::q5_k:
      return f.template operator()<P::q5_k, LayoutQ5K>();
    case P::q6_k:
      return f.template operator()<P::q6_k, LayoutQ6K>();
    case P::mxfp4:
      return f.template operator()<P::mxfp4, LayoutMxfp4>();
    case P::affine4:
      return f.template operator()<P::affine4, LayoutAffine4>();
    case P::affine5:
      return f.template operator()<P::affine5, LayoutAffine5>();
    case P::affine6:
      return f.template operator()<P::affine6, LayoutAffine6>();
    default:
      return f.template operator()<P::affine8, LayoutAffine8>();
  }
}

}  // namespace rapid
