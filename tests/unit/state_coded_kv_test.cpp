// Pages of codes: whatever the chunks, trims, branches and copies through
// bytes were, a state says bit for bit what one says that read its tokens at
// once.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <random>

#include "state/paged_kv.h"

namespace rapid {
namespace {

struct Kind {
  int bits;
  int window;
};

class CodedKv : public testing::TestWithParam<Kind> {
 protected:
  static constexpr int kHeads = 2;
  static constexpr int kDim = 40;
  static constexpr int kWidth = 4 * kHeads * kDim;  // twice as many queries

  PagedKv fresh() const {
    return PagedKv(
        KvShape::of(kHeads, kDim, mx::float32, GetParam().bits),
        GetParam().window);
  }
  AttentionPtr layer() const {
    return std::make_shared<const Attention>(AttentionOptions{
        .heads = 2 * kHeads, .scale = 0.3f, .window = GetParam().window});
  }
  // The row of a token at a place is a function of both.
  static std::vector<float> rows_of(
      const std::vector<int>& tokens, size_t first) {
    std::vector<float> out;
    for (size_t i = first; i < tokens.size(); ++i) {
      std::mt19937 random(static_cast<uint32_t>(tokens[i] * 7919 + i));
      for (int d = 0; d < kWidth; ++d) {
        out.push_back(static_cast<float>(random() % 2001) * 1e-3f - 1);
      }
    }
    return out;
  }
  // Reads the tokens that it has not; the last one's attention.
  std::vector<float> read(PagedKv& kv, const std::vector<int>& tokens) const {
    const int first = kv.length();
    const int n = static_cast<int>(tokens.size()) - first;
    const auto rows = rows_of(tokens, static_cast<size_t>(first));
    const AttentionRows part{kv.prepare(n), 0, n};
    mx::array out =
        attention(mx::array(rows.data(), {n, kWidth}), layer(), {&part, 1});
    std::vector<mx::array> all = {out};
    kv.collect(all);
    mx::eval(all);
    const size_t width = out.shape(1);
    const float* last = out.data<float>() + (n - 1) * width;
    return {last, last + width};
  }
};

bool same(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() &&
         std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

std::shared_ptr<const StateSnapshot> through_bytes(
    const PagedKv& kv, const StateSnapshot& snapshot) {
  auto builder = kv.builder();
  for (const StateUnit& unit : snapshot.units()) {
    const std::vector<std::byte> bytes(unit.bytes.begin(), unit.bytes.end());
    StateUnit read = unit;
    read.keep.reset();
    read.bytes = bytes;
    EXPECT_TRUE(builder->add(read));
  }
  auto built = builder->finish(snapshot.length());
  EXPECT_TRUE(built) << built.error().what;
  return built ? *built : nullptr;
}

TEST_P(CodedKv, AnyWayToAStateGivesItsBits) {
  std::mt19937 random(GetParam().bits * 100 + GetParam().window);
  PagedKv kv = fresh();
  std::vector<int> tokens;
  for (int step = 0; step < 80; ++step) {
    const int length = static_cast<int>(tokens.size());
    switch (random() % 5) {
      case 0:
        kv.restore(*through_bytes(kv, *kv.snapshot()));
        break;
      case 1:
        if (const int n = static_cast<int>(random() % (length + 1));
            kv.trim(n)) {
          tokens.resize(tokens.size() - n);
        }
        break;
      case 2: {
        auto fork = kv.fork();  // the branch writes on, the state does not see
        auto other = tokens;
        other.insert(other.end(), {-1, -2, -3});
        read(static_cast<PagedKv&>(*fork), other);
        break;
      }
      default:
        break;
    }
    for (size_t n = 1 + random() % (step % 3 == 0 ? 80 : 3); n > 0; --n) {
      tokens.push_back(static_cast<int>(random() % 1000));
    }
    const auto got = read(kv, tokens);
    PagedKv whole = fresh();
    ASSERT_TRUE(same(got, read(whole, tokens))) << "step " << step;
  }
}

TEST_P(CodedKv, APageCostsItsCodes) {
  PagedKv kv = fresh();
  read(kv, {1});
  // Two groups of 32 dimensions, a scale and a bias of two bytes each.
  const size_t row = 2 * (32 * static_cast<size_t>(GetParam().bits) / 8 + 4);
  EXPECT_EQ(kv.bytes(), 2 * kHeads * kPageTokens * row);
}

TEST_P(CodedKv, OtherBitsDoNotFit) {
  PagedKv kv = fresh();
  read(kv, {1, 2, 3});
  const PagedKv other(
      KvShape::of(kHeads, kDim, mx::float32, 12 - GetParam().bits),
      GetParam().window);
  EXPECT_NE(kv.snapshot()->kind(), other.snapshot()->kind());
  const auto units = kv.snapshot()->units();
  EXPECT_EQ(other.builder()->add(units[0]).error().code, ErrorCode::corrupt);
}

INSTANTIATE_TEST_SUITE_P(
    ,
    CodedKv,
    testing::Values(Kind{8, 0}, Kind{4, 0}, Kind{8, 70}, Kind{4, 5}),
    [](const auto& info) {
      return "bits" + std::to_string(info.param.bits) + "window" +
             std::to_string(info.param.window);
    });

}  // namespace
}  // namespace rapid
