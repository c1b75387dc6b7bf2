// A window, rows to be compressed and entries: whatever the chunks, trims,
// branches and copies through bytes were, a state says bit for bit what one
// says that read its tokens at once.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <random>

#include "state/compressed_kv.h"

namespace rapid {
namespace {

struct Layer {
  const char* name;
  CompressedShape shape;
};

class Compressed : public testing::TestWithParam<Layer> {
 protected:
  void SetUp() override {
    mx::set_default_device(mx::Device::cpu);
    const CompressedShape& s = GetParam().shape;
    const auto rule = [&](int dim) {
      return EntryRule{
          evaluated(mx::full({s.rate, s.series() * dim}, 0.25f)),
          {evaluated(mx::ones({dim})), 1e-5f}};
    };
    CompressedOptions o{
        .shape = s,
        .heads = 2,
        .scale = 0.3f,
        .key_norm = {evaluated(mx::ones({s.dim})), 1e-5f},
        .rope = {.dims = 4, .interleaved = true},
        .sinks = evaluated(mx::zeros({2}))};
    if (s.rate > 0) {
      o.entries = rule(s.dim);
    }
    if (s.index_dim > 0) {
      o.index = rule(s.index_dim);
      o.index_heads = 3;
      o.top = 6;
    }
    layer_ = std::make_shared<const CompressedAttention>(std::move(o));
  }

  static mx::array evaluated(mx::array a) {
    a.eval();
    return a;
  }

  CompressedKv fresh(int way_back = 0) const {
    return CompressedKv(GetParam().shape, way_back);
  }

  // The row of a token at a place is a function of both.
  static mx::array rows_of(
      const std::vector<int>& tokens, size_t first, int width) {
    std::vector<float> out;
    for (size_t i = first; i < tokens.size(); ++i) {
      std::mt19937 random(static_cast<uint32_t>(tokens[i] * 7919 + i));
      for (int d = 0; d < width; ++d) {
        out.push_back(static_cast<float>(random() % 2001) * 1e-3f - 1);
      }
    }
    return mx::array(
        out.data(), {static_cast<int>(tokens.size() - first), width});
  }

  // Reads the tokens that it has not; the last one's attention.
  std::vector<float> read(CompressedKv& kv, const std::vector<int>& all) const {
    const auto first = static_cast<size_t>(kv.length());
    const int n = static_cast<int>(all.size() - first);
    const CompressedRows part{kv.prepare(n), 0, n};
    mx::array out = compressed_attention(
        rows_of(all, first, layer_->q_width()),
        rows_of(all, first, layer_->in_width()),
        layer_,
        {&part, 1});
    std::vector<mx::array> pending = {out};
    kv.collect(pending);
    mx::eval(pending);
    const auto width = static_cast<size_t>(out.shape(1));
    const float* last = out.data<float>() + static_cast<size_t>(n - 1) * width;
    return {last, last + width};
  }

  std::vector<float> straight(const std::vector<int>& tokens) const {
    CompressedKv kv = fresh();
    return read(kv, tokens);
  }

  CompressedAttentionPtr layer_;
};

std::vector<int> tokens_of(int count, int from = 0) {
  std::vector<int> out;
  for (int i = 0; i < count; ++i) {
    out.push_back(from + i * 37 % 101);
  }
  return out;
}

std::vector<int> first_of(const std::vector<int>& all, int count) {
  return {all.begin(), all.begin() + count};
}

TEST_P(Compressed, GoesBackAndOnAtRandom) {
  std::mt19937 random(5);
  CompressedKv kv = fresh(9);
  std::vector<int> tokens;
  int trimmed = 0;
  for (int step = 0; step < 120; ++step) {
    const int more = 1 + static_cast<int>(random() % 12);
    for (int i = 0; i < more; ++i) {
      tokens.push_back(static_cast<int>(random() % 97));
    }
    EXPECT_EQ(read(kv, tokens), straight(tokens)) << step;
    ASSERT_EQ(kv.length(), std::ssize(tokens));
    const int back = static_cast<int>(random() % 10);
    if (back < kv.length()) {
      ASSERT_TRUE(kv.trim(back)) << back << " of " << kv.length();
      tokens.resize(tokens.size() - static_cast<size_t>(back));
      trimmed += back > 0;
    }
  }
  EXPECT_GT(trimmed, 50);
  EXPECT_GT(tokens.size(), 128u);
}

TEST_P(Compressed, SaysWhereItCannotGo) {
  CompressedKv kv = fresh();
  const std::vector<int> all = tokens_of(300);
  for (int length = 50; length <= 300; length += 50) {
    read(kv, first_of(all, length));
  }
  EXPECT_FALSE(kv.trim(280));
  EXPECT_FALSE(kv.trim(301));
  EXPECT_EQ(kv.length(), 300);
  const auto snapshot = kv.snapshot();
  const int floor = snapshot->rewind_floor();
  EXPECT_GT(floor, 20);
  EXPECT_EQ(snapshot->trimmed(floor - 1), nullptr);
  EXPECT_EQ(snapshot->trimmed(301), nullptr);
  // Every length from there on is what it would have been.
  for (int length = floor; length <= 300; ++length) {
    const auto there = snapshot->trimmed(length);
    ASSERT_NE(there, nullptr);
    CompressedKv again = fresh();
    again.restore(*there);
    EXPECT_EQ(again.length(), length);
    std::vector<int> other = first_of(all, length);
    other.push_back(5);
    EXPECT_EQ(read(again, other), straight(other)) << length;
  }
  // trim() and the snapshot agree.
  EXPECT_TRUE(kv.trim(300 - floor));
}

TEST_P(Compressed, KeepsAsManyAsItIsToldTo) {
  CompressedKv kv = fresh();
  kv.keep_way_back(100);
  const std::vector<int> all = tokens_of(260);
  for (int length = 20; length <= 260; length += 20) {
    read(kv, first_of(all, length));
  }
  ASSERT_TRUE(kv.trim(100));
  EXPECT_EQ(read(kv, first_of(all, 170)), straight(first_of(all, 170)));
}

TEST_P(Compressed, BranchesAndSnapshotsDoNotMeet) {
  CompressedKv kv = fresh();
  const std::vector<int> start = tokens_of(130);
  read(kv, start);
  const auto snapshot = kv.snapshot();
  const auto branch = kv.fork();
  std::vector<int> left = start;
  std::vector<int> right = start;
  for (int i = 0; i < 30; ++i) {
    left.push_back(i);
    right.push_back(90 - i);
    EXPECT_EQ(read(kv, left), straight(left));
    EXPECT_EQ(
        read(dynamic_cast<CompressedKv&>(*branch), right), straight(right));
  }
  kv.restore(*snapshot);
  EXPECT_EQ(read(kv, right), straight(right));
}

TEST_P(Compressed, ComesBackFromBytes) {
  CompressedKv kv = fresh();
  const std::vector<int> all = tokens_of(300);
  read(kv, first_of(all, 64));
  const auto early = kv.snapshot();
  for (int length = 100; length <= 300; length += 50) {
    read(kv, first_of(all, length));
  }
  const auto snapshot = kv.snapshot();
  for (const int length : {300, snapshot->rewind_floor()}) {
    const auto builder = fresh().builder();
    for (const auto& from : {early, snapshot}) {
      for (const StateUnit& unit : from->units()) {
        if (unit.first < length) {
          ASSERT_TRUE(builder->add(unit));
        }
      }
    }
    const auto made = builder->finish(length);
    ASSERT_TRUE(made) << made.error().what;
    EXPECT_EQ((*made)->kind(), snapshot->kind());
    CompressedKv again = fresh();
    again.restore(**made);
    std::vector<int> more = first_of(all, length);
    more.push_back(11);
    EXPECT_EQ(read(again, more), straight(more)) << length;
  }
}

TEST_P(Compressed, RefusesWhatIsNotItsOwn) {
  CompressedKv kv = fresh();
  read(kv, tokens_of(200));
  const auto snapshot = kv.snapshot();
  auto units = snapshot->units();
  ASSERT_FALSE(units.empty());
  const auto builder = fresh().builder();
  StateUnit wrong = units.front();
  wrong.name = "page";
  EXPECT_FALSE(builder->add(wrong));
  wrong = units.front();
  wrong.first += 1;
  EXPECT_FALSE(builder->add(wrong));
  wrong = units.front();
  wrong.dtype = "F16";
  EXPECT_FALSE(builder->add(wrong));
  // All but the last one.
  for (size_t i = 0; i + 1 < units.size(); ++i) {
    ASSERT_TRUE(builder->add(units[i]));
  }
  EXPECT_FALSE(builder->finish(200));
}

TEST_P(Compressed, SharesPagesOfTheSameTokens) {
  CompressedKv one = fresh(300);
  CompressedKv two = fresh(300);
  const std::vector<int> all = tokens_of(300);
  read(one, all);
  read(two, all);
  const auto shared = one.snapshot()->sharing(*two.snapshot(), 300);
  ASSERT_NE(shared, nullptr);
  std::vector<const void*> theirs;
  two.snapshot()->visit_pages(
      [&](const void* id, size_t) { theirs.push_back(id); });
  size_t common = 0;
  shared->visit_pages([&](const void* id, size_t bytes) {
    EXPECT_GT(bytes, 0u);
    common += static_cast<size_t>(std::count(theirs.begin(), theirs.end(), id));
  });
  EXPECT_GE(common, 4u);
  EXPECT_EQ(shared->sharing(*two.snapshot(), 300), nullptr);
  EXPECT_EQ(one.bytes(), one.snapshot()->bytes());
}

INSTANTIATE_TEST_SUITE_P(
    ,
    Compressed,
    testing::Values(
        Layer{"window", {.dim = 16, .window = 7}},
        Layer{"heavy", {.dim = 16, .window = 7, .rate = 24}},
        Layer{
            "chosen",
            {.dim = 16,
             .window = 11,
             .rate = 4,
             .overlap = true,
             .index_dim = 8}}),
    [](const auto& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace rapid
