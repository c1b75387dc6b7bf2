// 16-bit floats and sums of exponentials on every instruction set.
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "hub/dequantise.h"
#include "kernels/simd_isas.h"

namespace rapid {
namespace {

class Floats : public EachIsa {};

std::vector<float> random_floats(size_t count, float size, uint32_t seed) {
  std::mt19937 engine(seed);
  std::uniform_real_distribution<float> pick(-size, size);
  std::vector<float> out(count);
  for (float& v : out) {
    v = pick(engine);
  }
  return out;
}

TEST_P(Floats, EveryHalfSurvives) {
  std::vector<float> in;
  std::vector<uint16_t> bits;
  for (uint32_t h = 0; h < 0x10000; ++h) {
    const auto half = static_cast<uint16_t>(h);
    if (!std::isnan(half_to_float(half))) {
      bits.push_back(half);
      in.push_back(half_to_float(half));
    }
  }
  std::vector<uint16_t> out(in.size());
  kernel_table().to_halves(in.data(), static_cast<int>(in.size()), out.data());
  EXPECT_EQ(out, bits);
}

TEST_P(Floats, HalvesRoundToEven) {
  std::vector<float> in;
  std::vector<uint16_t> want;
  for (uint32_t h = 1; h < 0x7BFF; ++h) {
    const float low = half_to_float(static_cast<uint16_t>(h));
    const float high = half_to_float(static_cast<uint16_t>(h + 1));
    const float middle = low / 2 + high / 2;
    in.push_back(middle);
    want.push_back(static_cast<uint16_t>(h + (h & 1)));
    in.push_back(-std::nextafter(middle, high));
    want.push_back(static_cast<uint16_t>(0x8000 | (h + 1)));
  }
  in.push_back(65520.0f);
  want.push_back(0x7C00);
  in.push_back(1e30f);
  want.push_back(0x7C00);
  std::vector<uint16_t> out(in.size());
  kernel_table().to_halves(in.data(), static_cast<int>(in.size()), out.data());
  EXPECT_EQ(out, want);
}

TEST_P(Floats, HalfDotsAreThoseOfTheExpandedRows) {
  for (const TensorType type : {TensorType::f16, TensorType::bf16}) {
    for (const int k : {1, 7, 16, 31, 64, 333}) {
      const int n = 9;
      std::vector<uint16_t> stored(static_cast<size_t>(n) * k);
      std::mt19937 engine(7);
      for (uint16_t& v : stored) {
        v = static_cast<uint16_t>(engine() & 0xBFFF);  // no infinities
      }
      RowSource w;
      w.data = reinterpret_cast<const uint8_t*>(stored.data());
      w.row_bytes = static_cast<size_t>(k) * 2;
      w.cols = k;
      w.type = type;
      const KernelTable& table = kernel_table();
      const std::vector<float> x = random_floats(k, 1, 3);
      std::vector<float> rows(stored.size());
      for (int i = 0; i < n; ++i) {
        table.expand(w, i, rows.data() + static_cast<size_t>(i) * k);
      }
      std::vector<float> want(n);
      table.dots(rows.data(), n, x.data(), 1, k, want.data(), n);
      std::vector<float> got(n);
      table.half_dots(w, 0, 5, x.data(), got.data());
      table.half_dots(w, 5, n - 5, x.data(), got.data() + 5);
      EXPECT_EQ(std::memcmp(got.data(), want.data(), n * sizeof(float)), 0)
          << k;
    }
  }
}

TEST_P(Floats, ExpSumEqualsItsDefinition) {
  for (const size_t n : {1u, 15u, 4096u, 4099u, 20000u}) {
    std::vector<float> x = random_floats(n, 20, 11);
    if (n > 10) {
      x[3] = std::numeric_limits<float>::quiet_NaN();
      x[5] = -std::numeric_limits<float>::infinity();
    }
    double want = 0;
    for (const float v : x) {
      const double w = std::exp((double(v) - 20.0) * 0.7);
      want += w > 0 ? w : 0.0;
    }
    const double got =
        kernel_table().exp_sum(x.data(), static_cast<int64_t>(n), 20.0f, 0.7f);
    EXPECT_NEAR(got, want, want * 3e-6) << n;
  }
}

INSTANTIATE_TEST_SUITE_P(
    , Floats, testing::ValuesIn(available_isas()), isa_of_test);

}  // namespace
}  // namespace rapid
