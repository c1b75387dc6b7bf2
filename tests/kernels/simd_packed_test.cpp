// Packed panels against the plain definition of each stored type.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <random>
#include <span>
#include <vector>

#include "hub/dequantise.h"
#include "simd/packed_weight.h"

namespace rapid {
namespace {

class Packed : public ::testing::TestWithParam<Isa> {
 protected:
  void SetUp() override {
    before_ = active_isa();
    set_isa(GetParam());
  }
  void TearDown() override { set_isa(before_); }

 private:
  Isa before_ = Isa::scalar;
};

constexpr TensorType kTypes[] = {
    TensorType::q4_0,
    TensorType::q4_1,
    TensorType::q5_0,
    TensorType::q5_1,
    TensorType::q8_0,
    TensorType::q4_k,
    TensorType::q5_k,
    TensorType::q6_k,
    TensorType::mxfp4};

// Random bytes with every float16 scale made finite and small.
struct StoredMatrix {
  std::vector<uint8_t> bytes;
  RowSource source;
  int rows;

  StoredMatrix(TensorType type, int n, int k, uint32_t seed) : rows(n) {
    const TensorTypeInfo& info = tensor_type_info(type);
    std::mt19937 random(seed);
    source.type = type;
    source.cols = k;
    source.row_bytes =
        static_cast<size_t>(k / info.block_size * info.block_bytes);
    bytes.resize(source.row_bytes * static_cast<size_t>(n));
    for (size_t i = 0; i < bytes.size(); ++i) {
      bytes[i] = static_cast<uint8_t>(random());
    }
    const auto block = static_cast<size_t>(info.block_bytes);
    for (size_t at = 0; at < bytes.size(); at += block) {
      if (type == TensorType::mxfp4) {
        bytes[at] = static_cast<uint8_t>(110 + random() % 16);
        continue;
      }
      const size_t first = type == TensorType::q6_k ? 208 : 0;
      const size_t last = std::min(block, first + 4);
      for (size_t i = first + 1; i < last; i += 2) {
        bytes[at + i] = static_cast<uint8_t>(0x1C | (random() & 0x80));
      }
    }
    source.data = bytes.data();
  }

  std::vector<float> row(int64_t at) const {
    std::vector<float> out(static_cast<size_t>(source.cols));
    const std::span<const uint8_t> all(bytes);
    dequantise(
        source.type,
        std::as_bytes(all.subspan(
            static_cast<size_t>(at) * source.row_bytes, source.row_bytes)),
        out);
    return out;
  }

  PackedWeight pack() const {
    PackedWeight out = allocate_packed(*packed_format(source), source, rows);
    pack_panels(out, source, 0, out.panels());
    return out;
  }
};

struct Activations {
  std::vector<float> x;
  std::vector<int8_t> codes;
  std::vector<float> scales;
  std::vector<int32_t> sums;
  std::vector<QuantisedRow> rows;

  Activations(int m, int k, uint32_t seed)
      : x(static_cast<size_t>(m) * k),
        codes(x.size()),
        scales(x.size() / 32),
        sums(x.size() / 16) {
    std::mt19937 random(seed);
    std::normal_distribution<float> normal;
    for (float& v : x) {
      v = normal(random);
    }
    for (int i = 0; i < m; ++i) {
      const size_t at = static_cast<size_t>(i) * k;
      rows.push_back({&codes[at], &scales[at / 32], &sums[at / 16]});
      kernel_table().quantise(
          &x[at], k, &codes[at], &scales[at / 32], &sums[at / 16]);
    }
  }
};

TEST_P(Packed, UnpacksToTheFilesValues) {
  for (const TensorType type : kTypes) {
    const StoredMatrix m(type, 19, 512, 1);
    const PackedWeight packed = m.pack();
    EXPECT_LE(packed.bytes, m.source.row_bytes * 32);
    for (int row = 0; row < m.rows; ++row) {
      std::vector<float> got(512);
      unpack_row(packed, row, got.data());
      EXPECT_EQ(got, m.row(row)) << tensor_type_info(type).name;
    }
  }
}

TEST_P(Packed, QuantisesToTheNearestCode) {
  const int k = 96;
  const Activations a(3, k, 2);
  for (size_t i = 0; i < a.x.size(); ++i) {
    const float scale = a.scales[i / 32];
    EXPECT_LE(std::abs(a.x[i] - a.codes[i] * scale), scale * 0.5001f);
  }
  for (size_t i = 0; i < a.sums.size(); ++i) {
    int32_t sum = 0;
    for (size_t j = 0; j < 16; ++j) {
      sum += a.codes[16 * i + j];
    }
    EXPECT_EQ(a.sums[i], sum);
  }
}

TEST_P(Packed, ABlockOfZerosHasNoScale) {
  const std::vector<float> x(32, 0.0f);
  int8_t codes[32];
  float scale = 1;
  int32_t sums[2];
  kernel_table().quantise(x.data(), 32, codes, &scale, sums);
  EXPECT_EQ(scale, 0);
  EXPECT_EQ(sums[0] + sums[1], 0);
}

TEST_P(Packed, DotsEqualTheProductOfTheCodes) {
  for (const TensorType type : kTypes) {
    const int n = 37;
    const int k = 768;
    const StoredMatrix m(type, n, k, 3);
    const PackedWeight packed = m.pack();
    const Activations a(3, k, 4);
    std::vector<float> y(3 * n, -1.0f);
    kernel_table().packed_dots(
        packed.source(), a.rows.data(), 3, 0, packed.panels(), y.data(), n);
    for (int row = 0; row < n; ++row) {
      const std::vector<float> w = m.row(row);
      for (int i = 0; i < 3; ++i) {
        double sum = 0;
        double size = 0;
        for (int c = 0; c < k; ++c) {
          const auto at = static_cast<size_t>(i) * k + c;
          const double term = double(w[c]) * a.codes[at] * a.scales[at / 32];
          sum += term;
          size += std::abs(term);
        }
        EXPECT_NEAR(y[i * n + row], sum, size * 1e-6)
            << tensor_type_info(type).name;
      }
    }
  }
}

// DESIGN law 3: a row's bits do not depend on the rows beside it, nor on the
// range of panels it is computed with.
TEST_P(Packed, RowsDoNotDependOnTheirNumber) {
  for (const TensorType type : kTypes) {
    const int n = 45;
    const int k = 512;
    const StoredMatrix m(type, n, k, 5);
    const PackedWeight packed = m.pack();
    const Activations a(131, k, 6);
    const auto dots = kernel_table().packed_dots;
    std::vector<float> alone(131 * n);
    for (int i = 0; i < 131; ++i) {
      for (int p = 0; p < packed.panels(); ++p) {
        float* to = &alone[i * n + p * kPanelRows];
        dots(packed.source(), &a.rows[i], 1, p, p + 1, to, n);
      }
    }
    for (const int rows : {2, 3, 7, 8, 9, 64, 65, 131}) {
      std::vector<float> y(static_cast<size_t>(rows) * n);
      dots(
          packed.source(),
          a.rows.data(),
          rows,
          0,
          packed.panels(),
          y.data(),
          n);
      EXPECT_EQ(std::memcmp(y.data(), alone.data(), y.size() * 4), 0)
          << tensor_type_info(type).name << " " << rows;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    , Packed, ::testing::ValuesIn(available_isas()), [](const auto& info) {
      return isa_name(info.param);
    });

}  // namespace
}  // namespace rapid
