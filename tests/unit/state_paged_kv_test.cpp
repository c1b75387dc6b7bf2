#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <random>
#include <set>

#include "state/paged_kv.h"

namespace rapid {
namespace {

constexpr KvShape kShape{2, 8, mx::float32};

AttentionPtr layer_of(const PagedKv& kv) {
  return std::make_shared<const Attention>(
      AttentionOptions{.heads = 2, .window = kv.window()});
}

// Rows of qkv whose queries are zero and keys and values the given marks.
mx::array rows_of(const std::vector<float>& marks) {
  const auto n = static_cast<int>(marks.size());
  const mx::array column = mx::array(marks.data(), {n, 1});
  return mx::concatenate(
      {mx::zeros({n, 16}), mx::broadcast_to(column, mx::Shape{n, 32})}, 1);
}

// Appends rows whose keys and values are the given marks, one a row.
void append(PagedKv& kv, const std::vector<float>& marks) {
  const auto n = static_cast<int>(marks.size());
  const AttentionRows part{kv.prepare(n), 0, n};
  std::vector<mx::array> all = {
      attention(rows_of(marks), layer_of(kv), {&part, 1})};
  kv.collect(all);
  mx::eval(all);
}

// With zero queries attention is the mean of what is seen: of the new mark
// and everything before it in the window.
float mean_seen(PagedKv& kv, float mark) {
  const AttentionRows part{kv.prepare(1), 0, 1};
  mx::array out = attention(rows_of({mark}), layer_of(kv), {&part, 1});
  out.eval();
  return out.data<float>()[0];
}

float mean_of(const std::vector<float>& marks, int window, float next) {
  const auto n = static_cast<int>(marks.size());
  const int first = window > 0 ? std::max(0, n - window + 1) : 0;
  double total = next;
  for (int i = first; i < n; ++i) {
    total += marks[static_cast<size_t>(i)];
  }
  return static_cast<float>(total / (n - first + 1));
}

TEST(PagedKv, StartsEmpty) {
  PagedKv kv(kShape, 0);
  EXPECT_EQ(kv.length(), 0);
  EXPECT_EQ(kv.bytes(), 0u);
  EXPECT_TRUE(kv.trim(0));
  EXPECT_FALSE(kv.trim(1));
}

// Who keeps snapshots knows their form; the state knows its own.
TEST(PagedKv, KeepsItsForm) {
  PagedKv kv(kShape, 0, 1);
  append(kv, {1.0f, 2.0f});
  const auto fork = kv.fork();
  EXPECT_EQ(dynamic_cast<PagedKv&>(*fork).pages()->form, 1);
  const auto builder = PagedKv(kShape, 0).builder();
  for (const StateUnit& unit : kv.snapshot()->units()) {
    ASSERT_TRUE(builder->add(unit));
  }
  const auto read = builder->finish(2);
  ASSERT_TRUE(read);
  kv.restore(**read);
  EXPECT_EQ(kv.pages()->form, 1);
  EXPECT_EQ(kv.length(), 2);
}

TEST(PagedKv, CountsPages) {
  PagedKv kv(kShape, 0);
  append(kv, std::vector<float>(65, 1.0f));
  EXPECT_EQ(kv.length(), 65);
  EXPECT_EQ(kv.bytes(), 2u * 2 * 2 * kPageTokens * 8 * sizeof(float));
  EXPECT_TRUE(kv.trim(1));
  EXPECT_EQ(kv.bytes(), 1u * 2 * 2 * kPageTokens * 8 * sizeof(float));
}

TEST(PagedKv, SlidingFreesPagesAndLimitsTrim) {
  PagedKv kv(kShape, 10);
  for (int i = 0; i < 200; ++i) {
    append(kv, {1.0f});
  }
  EXPECT_LE(kv.bytes(), 2u * 2 * 2 * kPageTokens * 8 * sizeof(float));
  EXPECT_FALSE(kv.trim(150));
  EXPECT_EQ(kv.length(), 200);
  EXPECT_TRUE(kv.trim(1));
  EXPECT_EQ(kv.length(), 199);
}

TEST(PagedKv, SlidingMayForgetEverything) {
  PagedKv kv(kShape, 10);
  append(kv, std::vector<float>(40, 1.0f));
  EXPECT_TRUE(kv.trim(40));
  EXPECT_EQ(kv.length(), 0);
}

// What was saved of one unit, on its own memory as a disk would have it.
std::shared_ptr<const StateSnapshot> through_bytes(
    const PagedKv& kv, const StateSnapshot& snapshot, int length) {
  auto builder = kv.builder();
  for (const StateUnit& unit : snapshot.units()) {
    if (unit.first < length) {
      const std::vector<std::byte> bytes(unit.bytes.begin(), unit.bytes.end());
      StateUnit read = unit;
      read.keep.reset();
      read.bytes = bytes;
      EXPECT_TRUE(builder->add(read));
    }
  }
  auto built = builder->finish(length);
  EXPECT_TRUE(built) << built.error().what;
  return built ? *built : nullptr;
}

bool same_bytes(const StateSnapshot& a, const StateSnapshot& b) {
  const auto left = a.units();
  const auto right = b.units();
  return std::equal(
      left.begin(),
      left.end(),
      right.begin(),
      right.end(),
      [](const StateUnit& x, const StateUnit& y) {
        return x.name == y.name && x.first == y.first && x.end == y.end &&
               std::ranges::equal(x.bytes, y.bytes);
      });
}

TEST(PagedSnapshot, FullRewindsAnywhere) {
  PagedKv kv(kShape, 0);
  append(kv, std::vector<float>(200, 1.0f));
  const auto snapshot = kv.snapshot();
  EXPECT_EQ(snapshot->rewind_floor(), 0);
  const auto half = snapshot->trimmed(100);
  ASSERT_TRUE(half);
  EXPECT_EQ(half->length(), 100);
  EXPECT_EQ(half->bytes(), snapshot->bytes() / 2);
  EXPECT_EQ(snapshot->length(), 200);
  EXPECT_FALSE(snapshot->trimmed(201));
}

TEST(PagedSnapshot, FloorIsWhereTrimStops) {
  std::mt19937 random(11);
  for (int round = 0; round < 40; ++round) {
    const int window = 1 + static_cast<int>(random() % 150);
    PagedKv kv(kShape, window);
    for (int i = 0; i < 4; ++i) {
      append(kv, std::vector<float>(1 + random() % 100, 1.0f));
    }
    const auto snapshot = kv.snapshot();
    for (int n = 1; n <= kv.length(); ++n) {
      PagedKv copy = kv;
      const bool can = copy.trim(kv.length() - n);
      ASSERT_EQ(can, n >= snapshot->rewind_floor()) << window << " " << n;
      ASSERT_EQ(can, snapshot->trimmed(n) != nullptr) << window << " " << n;
    }
  }
}

TEST(PagedSnapshot, BytesBringItBackAtAnyLength) {
  for (const int window : {0, 70}) {
    PagedKv kv(kShape, window);
    std::vector<float> marks(130);
    std::iota(marks.begin(), marks.end(), 1.0f);
    append(kv, marks);
    append(kv, {131.0f});
    const auto snapshot = kv.snapshot();
    for (int n = std::max(1, snapshot->rewind_floor()); n <= 131; ++n) {
      const auto read = through_bytes(kv, *snapshot, n);
      ASSERT_TRUE(read);
      EXPECT_EQ(read->length(), n);
      EXPECT_EQ(read->kind(), snapshot->kind());
      EXPECT_TRUE(same_bytes(*read, *snapshot->trimmed(n))) << n;
      PagedKv again(kShape, window);
      again.restore(*read);
      PagedKv trimmed = kv;
      ASSERT_TRUE(trimmed.trim(131 - n));
      EXPECT_EQ(mean_seen(again, 5), mean_seen(trimmed, 5)) << n;
    }
  }
}

TEST(PagedSnapshot, BuilderRefusesWhatIsNotItsOwn) {
  PagedKv kv(kShape, 0);
  append(kv, std::vector<float>(100, 1.0f));
  const auto units = kv.snapshot()->units();
  ASSERT_EQ(units.size(), 2u);
  StateUnit cut = units[0];
  cut.bytes = cut.bytes.first(8);
  EXPECT_EQ(kv.builder()->add(cut).error().code, ErrorCode::corrupt);
  StateUnit other = units[0];
  other.dtype = "F16";
  EXPECT_EQ(kv.builder()->add(other).error().code, ErrorCode::corrupt);
  auto gap = kv.builder();
  ASSERT_TRUE(gap->add(units[1]));
  EXPECT_EQ(gap->finish(100).error().code, ErrorCode::corrupt);
}

TEST(PagedSnapshot, SharesTheOtherOnesWholePages) {
  PagedKv one(kShape, 0);
  append(one, std::vector<float>(200, 1.0f));
  PagedKv two(kShape, 0);
  append(two, std::vector<float>(200, 1.0f));
  const auto shared = two.snapshot()->sharing(*one.snapshot(), 150);
  ASSERT_TRUE(shared);
  std::set<const void*> pages;
  const auto note = [&](const void* id, size_t) { pages.insert(id); };
  one.snapshot()->visit_pages(note);
  EXPECT_EQ(pages.size(), 4u);
  shared->visit_pages(note);
  EXPECT_EQ(pages.size(), 6u) << "two of four pages are whole within 150";
  EXPECT_FALSE(one.snapshot()->sharing(*one.snapshot(), 150));
}

struct Branch {
  std::unique_ptr<PagedKv> kv;
  std::vector<float> marks;
};

struct Saved {
  std::shared_ptr<const StateSnapshot> snapshot;
  std::vector<float> marks;
};

// A random walk of appends, trims, forks, snapshots and restores against
// plain vectors of marks.
void random_walk(int window, uint32_t seed) {
  std::mt19937 random(seed);
  const auto below = [&](size_t n) { return random() % n; };
  std::vector<Branch> branches;
  branches.push_back({std::make_unique<PagedKv>(kShape, window), {}});
  std::vector<Saved> saved;
  float next = 1;
  for (int step = 0; step < 300; ++step) {
    Branch& b = branches[below(branches.size())];
    switch (below(6)) {
      case 0:
      case 1: {
        std::vector<float> marks(1 + below(90));
        for (float& m : marks) {
          m = next++;
        }
        append(*b.kv, marks);
        b.marks.insert(b.marks.end(), marks.begin(), marks.end());
        break;
      }
      case 2: {
        const size_t n = below(b.marks.size() + 1);
        if (b.kv->trim(static_cast<int>(n))) {
          b.marks.resize(b.marks.size() - n);
        } else {
          ASSERT_GT(window, 0) << "only a sliding state refuses a trim";
        }
        break;
      }
      case 3:
        if (branches.size() < 4) {
          auto fork = b.kv->fork();
          const std::vector<float> marks = b.marks;
          branches.push_back(
              {std::unique_ptr<PagedKv>(static_cast<PagedKv*>(fork.release())),
               marks});
        }
        break;
      case 4:
        saved.push_back({b.kv->snapshot(), b.marks});
        EXPECT_EQ(
            saved.back().snapshot->length(), static_cast<int>(b.marks.size()));
        break;
      default:
        if (!saved.empty()) {
          const Saved& s = saved[below(saved.size())];
          b.kv->restore(*s.snapshot);
          b.marks = s.marks;
        }
    }
    for (Branch& each : branches) {
      ASSERT_EQ(each.kv->length(), static_cast<int>(each.marks.size()));
    }
    Branch& seen = branches[below(branches.size())];
    const float want = mean_of(seen.marks, window, next);
    ASSERT_NEAR(mean_seen(*seen.kv, next) / want, 1.0f, 1e-5f)
        << "step " << step;
    seen.marks.push_back(next++);
  }
}

TEST(PagedKv, RandomWalkFull) {
  random_walk(0, 1);
}

TEST(PagedKv, RandomWalkSliding) {
  random_walk(70, 2);
  random_walk(5, 3);
}

TEST(PagedKv, RandomWalkOnPlainOps) {
  const ScopedReference forced;
  random_walk(0, 4);
  random_walk(70, 5);
}

// Pieces of a window that two snapshots saved, with a hole between them.
TEST(PagedKv, AWindowForgetsWhatLiesBeforeAHole) {
  PagedKv early(kShape, 10);
  append(early, std::vector<float>(100, 1.0f));
  PagedKv late(kShape, 10);
  append(late, std::vector<float>(190, 1.0f));
  for (int i = 0; i < 30; ++i) {
    append(late, {1.0f});
  }
  const auto builder = late.builder();
  for (const auto& state : {early.snapshot(), late.snapshot()}) {
    for (const auto& unit : state->units()) {
      ASSERT_TRUE(builder->add(unit));
    }
  }
  const auto read = builder->finish(220);
  ASSERT_TRUE(read);
  EXPECT_EQ((*read)->rewind_floor(), late.snapshot()->rewind_floor());
  EXPECT_EQ((*read)->bytes(), late.snapshot()->bytes());
}

}  // namespace
}  // namespace rapid
