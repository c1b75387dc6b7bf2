// Pooling: plain definitions, and that pieces change no bit.
#include <gtest/gtest.h>

#include <cmath>

#include "sampling/pooling.h"

namespace rapid {
namespace {

constexpr size_t kWidth = 7;

std::vector<float> rows(size_t count) {
  std::vector<float> out;
  for (size_t i = 0; i < count * kWidth; ++i) {
    out.push_back(std::sin(static_cast<float>(i) * 1.7f) * 100);
  }
  return out;
}

std::vector<float> pooled(
    Pooling kind, const std::vector<float>& all, size_t piece) {
  Pooler pooler(kind);
  for (size_t at = 0; at < all.size(); at += piece * kWidth) {
    const size_t size = std::min(piece * kWidth, all.size() - at);
    pooler.add(std::span(all).subspan(at, size), kWidth);
  }
  return pooler.take();
}

TEST(Pooling, IsWhatItSays) {
  const std::vector<float> all = rows(10);
  for (const Pooling kind : {Pooling::mean, Pooling::last, Pooling::first}) {
    std::vector<double> expected(kWidth, 0);
    for (size_t row = 0; row < 10; ++row) {
      const bool counts =
          kind == Pooling::mean || row == (kind == Pooling::last ? 9 : 0);
      for (size_t i = 0; counts && i < kWidth; ++i) {
        expected[i] += all[row * kWidth + i];
      }
    }
    double squares = 0;
    for (const double value : expected) {
      squares += value * value;
    }
    const auto got = pooled(kind, all, 10);
    for (size_t i = 0; i < kWidth; ++i) {
      EXPECT_NEAR(got[i], expected[i] / std::sqrt(squares), 1e-6);
    }
  }
}

TEST(Pooling, PiecesChangeNoBit) {
  const std::vector<float> all = rows(23);
  for (const Pooling kind : {Pooling::mean, Pooling::last, Pooling::first}) {
    const auto whole = pooled(kind, all, 23);
    for (size_t piece = 1; piece < 23; ++piece) {
      EXPECT_EQ(pooled(kind, all, piece), whole);
    }
  }
}

TEST(Pooling, NothingHasNoLength) {
  Pooler pooler(Pooling::mean);
  EXPECT_TRUE(pooler.take().empty());
  std::vector<float> zeros(3, 0.0f);
  normalise(zeros);
  EXPECT_EQ(zeros, std::vector<float>(3, 0.0f));
}

}  // namespace
}  // namespace rapid
