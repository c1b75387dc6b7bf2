// Stored rows to float32 and, for MLX's packed schemes, panels: every
// instruction set against plain definitions.
#include <bit>
#include <cmath>
#include <span>

#include "hub/dequantise.h"
#include "kernels/simd_isas.h"
#include "simd/packed_weight.h"

namespace rapid {
namespace {

class Expand : public EachIsa {};

// Where a block keeps float16 numbers.
struct BlockType {
  TensorType type;
  std::vector<size_t> halves;
};

const BlockType kBlockTypes[] = {
    {TensorType::q4_0, {0}},
    {TensorType::q4_1, {0, 2}},
    {TensorType::q5_0, {0}},
    {TensorType::q5_1, {0, 2}},
    {TensorType::q8_0, {0}},
    {TensorType::q2_k, {80, 82}},
    {TensorType::q3_k, {108}},
    {TensorType::q4_k, {0, 2}},
    {TensorType::q5_k, {0, 2}},
    {TensorType::q6_k, {208}},
    {TensorType::mxfp4, {}}};

std::vector<uint8_t> random_bytes(size_t n, uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<uint8_t> out(n);
  for (uint8_t& byte : out) {
    byte = static_cast<uint8_t>(random());
  }
  return out;
}

TEST_P(Expand, BlockTypesAsDefined) {
  for (const BlockType& t : kBlockTypes) {
    const TensorTypeInfo& info = tensor_type_info(t.type);
    const int cols = 768;
    const auto bytes_per_row = tensor_bytes(t.type, cols);
    auto bytes = random_bytes(3 * bytes_per_row, 1);
    for (size_t at = 0; at < bytes.size();
         at += static_cast<size_t>(info.block_bytes)) {
      for (const size_t half : t.halves) {
        bytes[at + half + 1] &= 0xBF;  // finite, subnormals too
      }
    }
    RowSource source;
    source.data = bytes.data();
    source.row_bytes = bytes_per_row;
    source.cols = cols;
    source.type = t.type;
    for (int row = 0; row < 3; ++row) {
      std::vector<float> got(cols);
      std::vector<float> want(cols);
      kernel_table().expand(source, row, got.data());
      dequantise(
          t.type,
          std::as_bytes(
              std::span(bytes).subspan(row * bytes_per_row, bytes_per_row)),
          want);
      EXPECT_EQ(got, want) << info.name;
    }
  }
}

TEST_P(Expand, EveryHalfAndBrainFloat) {
  std::vector<uint16_t> all(65536);
  for (size_t i = 0; i < all.size(); ++i) {
    all[i] = static_cast<uint16_t>(i);
  }
  for (const TensorType type : {TensorType::f16, TensorType::bf16}) {
    for (const int skip : {0, 1, 2, 3, 5}) {  // tails, odd addresses
      RowSource source;
      source.data = reinterpret_cast<const uint8_t*>(all.data() + skip);
      source.cols = 65536 - skip;
      source.type = type;
      std::vector<float> got(all.size() - skip);
      kernel_table().expand(source, 0, got.data());
      for (size_t i = 0; i < got.size(); ++i) {
        const uint16_t bits = all[i + skip];
        const float want = type == TensorType::f16 ? half_to_float(bits)
                                                   : bfloat_to_float(bits);
        ASSERT_TRUE(
            same_bits(&got[i], &want, 1) ||
            (std::isnan(got[i]) && std::isnan(want)))
            << bits;
      }
    }
  }
}

TEST_P(Expand, PlainFloats) {
  const auto x = normals(37, 2);
  RowSource source;
  source.data = reinterpret_cast<const uint8_t*>(x.data());
  source.row_bytes = sizeof(float);
  source.cols = 36;
  std::vector<float> got(36);
  kernel_table().expand(source, 1, got.data());
  EXPECT_TRUE(same_bits(got.data(), x.data() + 1, 36));
}

// A random matrix of one of MLX's schemes; scales from 2^-9 to 2^-5.
struct PackedMatrix {
  std::vector<uint8_t> codes;
  std::vector<uint8_t> scales;
  std::vector<uint8_t> biases;
  RowSource source;
  int rows;

  PackedMatrix(QuantScheme scheme, TensorType type, int n, int k) : rows(n) {
    const int groups = k / scheme.group_size;
    const bool affine = scheme.mode == QuantMode::affine;
    source.packed = true;
    source.scheme = scheme;
    source.cols = k;
    source.scale_type = type;
    source.row_bytes = static_cast<size_t>(k * scheme.bits / 8);
    source.scale_row_bytes =
        affine ? tensor_bytes(type, static_cast<size_t>(groups))
               : static_cast<size_t>(groups);
    codes = random_bytes(source.row_bytes * n, 3);
    scales = random_bytes(source.scale_row_bytes * n, 4);
    biases = random_bytes(source.scale_row_bytes * n, 5);
    if (affine) {
      tame(scales, type);
      tame(biases, type);
      source.biases = biases.data();
    } else {
      for (uint8_t& byte : scales) {
        byte = static_cast<uint8_t>(
            scheme.mode == QuantMode::nvfp4 ? byte % 0x7F : 110 + byte % 16);
      }
    }
    source.data = codes.data();
    source.scales = scales.data();
  }

  static void tame(std::vector<uint8_t>& bytes, TensorType type) {
    const size_t size = type == TensorType::f32 ? 4 : 2;
    const uint8_t top = type == TensorType::f16 ? 0x1C : 0x3C;
    for (size_t at = size - 1; at < bytes.size(); at += size) {
      bytes[at] = static_cast<uint8_t>(top | (bytes[at] & 0x80));
    }
  }

  float number(const std::vector<uint8_t>& from, int row, int group) const {
    const uint8_t* p = from.data() + row * source.scale_row_bytes;
    uint16_t bits = 0;
    float out = 0;
    if (source.scale_type == TensorType::f32) {
      std::memcpy(&out, p + 4 * group, 4);
      return out;
    }
    std::memcpy(&bits, p + 2 * group, 2);
    return source.scale_type == TensorType::f16 ? half_to_float(bits)
                                                : bfloat_to_float(bits);
  }

  // Bits of one code, from a stream of bits that starts with each row.
  int code(int row, int column) const {
    int out = 0;
    for (int i = 0; i < source.scheme.bits; ++i) {
      const int bit = column * source.scheme.bits + i;
      out |= (codes[row * source.row_bytes + bit / 8] >> (bit % 8) & 1) << i;
    }
    return out;
  }

  // A small float of `exponent` and `mantissa` bits below a sign.
  static double tiny_float(int code, int exponent, int mantissa) {
    const int bias = (1 << (exponent - 1)) - 1;
    const int e = code >> mantissa & ((1 << exponent) - 1);
    const int m = code & ((1 << mantissa) - 1);
    const double size =
        e == 0 ? std::ldexp(m, 1 - bias - mantissa)
               : std::ldexp((1 << mantissa) + m, e - bias - mantissa);
    return code >> (exponent + mantissa) & 1 ? -size : size;
  }

  // One multiply and one add, each rounded to float32.
  float value(int row, int column) const {
    const int group = column / source.scheme.group_size;
    const int q = code(row, column);
    if (source.scheme.mode == QuantMode::affine) {
      const auto product = static_cast<float>(
          static_cast<double>(q) * number(scales, row, group));
      return static_cast<float>(
          static_cast<double>(product) + number(biases, row, group));
    }
    const int byte = scales[row * source.scale_row_bytes + group];
    const double scale = source.scheme.mode == QuantMode::nvfp4
                             ? tiny_float(byte, 4, 3)
                             : std::ldexp(1.0, byte - 127);
    const double small =
        source.scheme.bits == 8 ? tiny_float(q, 4, 3) : tiny_float(q, 2, 1);
    return static_cast<float>(small * scale);
  }
};

struct SchemeCase {
  QuantScheme scheme;
  TensorType type;
};

std::vector<SchemeCase> schemes() {
  std::vector<SchemeCase> out = {
      {{QuantMode::mxfp4, 4, 32}, TensorType::f16},
      {{QuantMode::mxfp8, 8, 32}, TensorType::f16},
      {{QuantMode::nvfp4, 4, 16}, TensorType::f16}};
  for (const int bits : {2, 3, 4, 5, 6, 8}) {
    for (const int size : {32, 64, 128}) {
      for (const TensorType type :
           {TensorType::f16, TensorType::bf16, TensorType::f32}) {
        out.push_back({{QuantMode::affine, bits, size}, type});
      }
    }
  }
  return out;
}

std::string name_of(const SchemeCase& c) {
  return std::to_string(static_cast<int>(c.scheme.mode)) + "/" +
         std::to_string(c.scheme.bits) + "/" +
         std::to_string(c.scheme.group_size) + "/" +
         std::string(tensor_type_info(c.type).name);
}

TEST_P(Expand, MlxSchemesAsDefined) {
  for (const SchemeCase& c : schemes()) {
    const int k = 384;
    const PackedMatrix m(c.scheme, c.type, 2, k);
    for (int row = 0; row < m.rows; ++row) {
      std::vector<float> got(k);
      std::vector<float> want(k);
      kernel_table().expand(m.source, row, got.data());
      for (int i = 0; i < k; ++i) {
        want[i] = m.value(row, i);
      }
      // NaN is no equal: mxfp8 has two such codes.
      for (int i = 0; i < k; ++i) {
        if (c.scheme.mode == QuantMode::mxfp8 &&
            (m.code(row, i) & 0x7F) == 0x7F) {
          EXPECT_TRUE(std::isnan(got[i]));
          got[i] = want[i];
        }
      }
      EXPECT_EQ(got, want) << name_of(c);
    }
  }
}

TEST_P(Expand, PanelsOfMlxSchemesEqualTheProduct) {
  int known = 0;
  for (const SchemeCase& c : schemes()) {
    const int n = 21;
    const int k = 384;
    const PackedMatrix m(c.scheme, c.type, n, k);
    const auto format = packed_format(m.source);
    if (!format) {
      continue;
    }
    ++known;
    PackedWeight packed = allocate_packed(*format, m.source, n);
    pack_panels(packed, m.source, 0, packed.panels());
    const auto x = normals(k, 6);
    std::vector<int8_t> codes(k);
    std::vector<float> scales(k / 32);
    std::vector<int32_t> sums(k / 16);
    const KernelTable& table = kernel_table();
    table.quantise(x.data(), k, codes.data(), scales.data(), sums.data());
    const QuantisedRow row{codes.data(), scales.data(), sums.data()};
    std::vector<float> y(n);
    table.packed_dots(
        packed.source(), &row, 1, 0, packed.panels(), y.data(), n);
    for (int r = 0; r < n; ++r) {
      double sum = 0;
      double size = 0;
      for (int i = 0; i < k; ++i) {
        const double a = double(codes[i]) * scales[i / 32];
        sum += m.value(r, i) * a;
        size += std::abs(m.value(r, i) * a);
      }
      EXPECT_NEAR(y[r], sum, size * 2e-6) << name_of(c);
    }
  }
  EXPECT_EQ(known, 1 + 4 * 3 * 2);  // mxfp4; 4 5 6 8 bits, half and brain
}

INSTANTIATE_TEST_SUITE_P(
    , Expand, ::testing::ValuesIn(available_isas()), isa_of_test);

}  // namespace
}  // namespace rapid
