// Row-wise kernels of every instruction set against plain double precision,
// and DESIGN law 3: a row's bits do not depend on the rows beside it.
#include <algorithm>
#include <cmath>

#include "kernels/simd_isas.h"

namespace rapid {
namespace {

class Rows : public EachIsa {};

constexpr int kWidths[] = {1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 64, 257};

TEST_P(Rows, DotsEqualTheSum) {
  for (const int k : kWidths) {
    for (const int count : {1, 3, 4, 9}) {
      for (const int rows : {1, 2, 5, 13}) {
        const auto w = normals(static_cast<size_t>(count) * k, 1);
        const auto x = normals(static_cast<size_t>(rows) * k, 2);
        const int stride = count + 3;
        std::vector<float> y(static_cast<size_t>(rows) * stride, 7.0f);
        kernel_table().dots(
            w.data(), count, x.data(), rows, k, y.data(), stride);
        for (int r = 0; r < rows; ++r) {
          for (int n = 0; n < count; ++n) {
            double sum = 0;
            double size = 0;
            for (int i = 0; i < k; ++i) {
              const double term = double(w[n * k + i]) * x[r * k + i];
              sum += term;
              size += std::abs(term);
            }
            EXPECT_NEAR(y[r * stride + n], sum, size * 1e-6);
          }
          EXPECT_EQ(y[r * stride + count], 7.0f) << "wrote past its row";
        }
      }
    }
  }
}

TEST_P(Rows, DotsDoNotDependOnTheirNumber) {
  const int rows = 17;
  const int count = 11;
  for (const int k : kWidths) {
    const auto w = normals(static_cast<size_t>(count) * k, 3);
    const auto x = normals(static_cast<size_t>(rows) * k, 4);
    const auto dots = kernel_table().dots;
    std::vector<float> alone(rows * count);
    for (int r = 0; r < rows; ++r) {
      for (int n = 0; n < count; ++n) {
        dots(&w[n * k], 1, &x[r * k], 1, k, &alone[r * count + n], count);
      }
    }
    for (int some = 1; some <= rows; ++some) {
      std::vector<float> y(static_cast<size_t>(some) * count);
      dots(w.data(), count, x.data(), some, k, y.data(), count);
      EXPECT_TRUE(same_bits(y.data(), alone.data(), y.size()))
          << k << " " << some;
    }
  }
}

TEST_P(Rows, QuantiseOfAnySize) {
  const int cols = 32 * 41;
  auto x = normals(cols, 5);
  for (int i = 0; i < cols; ++i) {
    x[i] = std::ldexp(x[i], 3 * (i / 32) - 60);
  }
  std::vector<int8_t> codes(cols);
  std::vector<float> scales(cols / 32);
  std::vector<int32_t> sums(cols / 16);
  const auto quantise = kernel_table().quantise;
  quantise(x.data(), cols, codes.data(), scales.data(), sums.data());
  for (int b = 0; b < cols / 32; ++b) {
    float largest = 0;
    for (int i = 32 * b; i < 32 * b + 32; ++i) {
      largest = std::max(largest, std::abs(x[i]));
    }
    EXPECT_EQ(scales[b], largest / 127.0f);
    int sum = 0;
    for (int i = 32 * b; i < 32 * b + 32; ++i) {
      const double exact = double(x[i]) * 127 / largest;
      EXPECT_LE(std::abs(codes[i] - exact), 0.5001);
      EXPECT_LE(std::abs(codes[i]), 127);
      sum += codes[i];
    }
    EXPECT_EQ(sums[2 * b] + sums[2 * b + 1], sum);

    int8_t code[32];
    float scale = 0;
    int32_t two[2];
    quantise(&x[32 * b], 32, code, &scale, two);
    EXPECT_EQ(std::memcmp(code, &codes[32 * b], 32), 0);
    EXPECT_EQ(scale, scales[b]);
    EXPECT_EQ(std::memcmp(two, &sums[2 * b], 8), 0);
  }
}

TEST_P(Rows, RmsNorm) {
  for (const int n : kWidths) {
    const auto x = normals(n, 6, 3);
    const auto weight = normals(n, 7);
    std::vector<float> y(n + 1, 7.0f);
    kernel_table().rms_norm(x.data(), weight.data(), 1e-5f, n, y.data());
    double squares = 0;
    for (const float v : x) {
      squares += double(v) * v;
    }
    const double scale = 1 / std::sqrt(squares / n + double(1e-5f));
    for (int i = 0; i < n; ++i) {
      const double exact = x[i] * scale * weight[i];
      EXPECT_NEAR(y[i], exact, std::abs(exact) * 1e-6);
    }
    EXPECT_EQ(y[n], 7.0f) << "wrote past its row";
  }
}

using Gate = void (*)(const float*, const float*, int64_t, float*);

// Wide enough that exp() saturates on both sides.
void check_gate(Gate gate, double (*exact)(double)) {
  for (const int n : kWidths) {
    const auto g = normals(n, 8 + n, n % 2 ? 3 : 60);
    const auto u = normals(n, 9 + n);
    std::vector<float> y(n + 1, 7.0f);
    gate(g.data(), u.data(), n, y.data());
    for (int i = 0; i < n; ++i) {
      EXPECT_NEAR(
          y[i], exact(g[i]) * u[i], std::abs(double(g[i]) * u[i]) * 1e-6)
          << g[i];
      float one = 0;
      gate(&g[i], &u[i], 1, &one);
      EXPECT_TRUE(same_bits(&one, &y[i], 1)) << n << " " << i;
    }
    EXPECT_EQ(y[n], 7.0f) << "wrote past its row";
  }
}

TEST_P(Rows, Silu) {
  check_gate(
      kernel_table().silu, [](double g) { return g / (1 + std::exp(-g)); });
}

TEST_P(Rows, Gelu) {
  check_gate(kernel_table().gelu, [](double g) {
    return 0.5 * g *
           (1 + std::tanh(0.7978845608028654 * (g + 0.044715 * g * g * g)));
  });
}

INSTANTIATE_TEST_SUITE_P(
    , Rows, ::testing::ValuesIn(available_isas()), isa_of_test);

}  // namespace
}  // namespace rapid
