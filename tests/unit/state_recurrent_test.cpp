#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <random>

#include "unit/recurrent_rules.h"

namespace rapid {
namespace {

struct Case {
  std::string name;
  std::shared_ptr<const RecurrentRule> rule;
  std::vector<mx::Shape> rows;  // of one token
};

std::vector<Case> cases() {
  const auto conv = short_conv_rule(4, 6);
  const auto delta = gated_delta_rule(2, 3, 4);
  return {
      {"delta", delta, {{2, 4}, {2, 3}, {2}, {2}}},
      {"mamba2", mamba2_rule(2, 3, 5), {{2, 3}, {2, 5}, {2}}},
      {"conv", conv, {{6}}},
      {"both",
       joined_rules({conv, delta}, {1, 4}),
       {{6}, {2, 4}, {2, 3}, {2}, {2}}}};
}

// Rows [first, end) of a fixed random sequence.
Arrays rows_of(const Case& c, int first, int end) {
  Arrays out;
  for (size_t r = 0; r < c.rows.size(); ++r) {
    mx::Shape shape = c.rows[r];
    size_t each = 1;
    for (const auto size : shape) {
      each *= static_cast<size_t>(size);
    }
    std::vector<float> values;
    for (int t = first; t < end; ++t) {
      std::mt19937 random(
          static_cast<unsigned>(1000 * t) + static_cast<unsigned>(r));
      for (size_t i = 0; i < each; ++i) {
        values.push_back(static_cast<float>(random() % 2000) / 1000.0f - 1.0f);
      }
    }
    shape.insert(shape.begin(), end - first);
    out.emplace_back(values.data(), shape);
  }
  return out;
}

void run(Recurrent& state, const Case& c, int count) {
  const int first = state.length();
  Arrays rows = rows_of(c, first, first + count);
  Arrays next = c.rule->advance(state.arrays(), rows);
  state.append(count, rows, next);
  std::vector<mx::array> all;
  state.collect(all);
  mx::eval(all);
}

std::vector<float> values_of(const Arrays& arrays) {
  std::vector<float> out;
  for (const auto& array : arrays) {
    const mx::array flat = mx::contiguous(array);
    mx::array held = flat;
    held.eval();
    out.insert(out.end(), held.data<float>(), held.data<float>() + held.size());
  }
  return out;
}

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && !a.empty() &&
         std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

std::vector<float> straight(const Case& c, int length) {
  Recurrent state(c.rule);
  for (int i = 0; i < length; ++i) {
    run(state, c, 1);
  }
  return values_of(state.arrays());
}

TEST(Recurrent, GatedDeltaIsItsFormula) {
  const Case c = cases()[0];
  std::vector<double> s(2 * 3 * 4, 0.0);
  for (int t = 0; t < 7; ++t) {
    const Arrays rows = rows_of(c, t, t + 1);
    const float* k = rows[0].data<float>();
    const float* v = rows[1].data<float>();
    for (size_t h = 0; h < 2; ++h) {
      const double decay = std::exp(rows[2].data<float>()[h]);
      for (size_t i = 0; i < 3; ++i) {
        double* row = &s[(h * 3 + i) * 4];
        double seen = 0;
        for (size_t j = 0; j < 4; ++j) {
          row[j] *= decay;
          seen += row[j] * k[h * 4 + j];
        }
        for (size_t j = 0; j < 4; ++j) {
          row[j] +=
              rows[3].data<float>()[h] * (v[h * 3 + i] - seen) * k[h * 4 + j];
        }
      }
    }
  }
  const auto got = straight(c, 7);
  for (size_t i = 0; i < s.size(); ++i) {
    EXPECT_NEAR(got[i], s[i], 1e-4 * (1 + std::abs(s[i])));
  }
}

TEST(Recurrent, ChunksChangeNoBit) {
  for (const Case& c : cases()) {
    Recurrent state(c.rule);
    for (const int count : {5, 1, 7, 2, 1}) {
      run(state, c, count);
    }
    EXPECT_TRUE(same_bits(values_of(state.arrays()), straight(c, 16)))
        << c.name;
  }
}

TEST(Recurrent, RewindsExactlyAsFarAsItsTape) {
  std::mt19937 random(2);
  for (const Case& c : cases()) {
    std::vector<std::vector<float>> expected(1);
    for (int n = 1; n <= 60; ++n) {
      expected.push_back(straight(c, n));
    }
    Recurrent state(c.rule, 8);
    int taped = 0;  // tokens since the last long step
    int rewound = 0;
    for (int step = 0; step < 200; ++step) {
      const int n = static_cast<int>(random() % 12);
      if (random() % 3 == 0 && n > 0 && n <= state.length()) {
        const int before = state.length();
        const bool done = state.trim(n);
        if (n <= std::min(8, taped)) {
          ASSERT_TRUE(done) << c.name << " " << n << " of " << before;
        }
        ASSERT_EQ(state.length(), done ? before - n : before);
        rewound += done ? 1 : 0;
        // What is left of the tape after a rewind is not promised.
        taped = done ? 0 : taped;
      } else if (n > 0 && state.length() + n <= 60) {
        run(state, c, n);
        taped = n > 8 ? 0 : taped + n;
      } else if (state.length() + 12 > 60) {
        state = Recurrent(c.rule, 8);
        taped = 0;
      }
      if (state.length() > 0) {
        ASSERT_TRUE(same_bits(
            values_of(state.arrays()),
            expected[static_cast<size_t>(state.length())]))
            << c.name << " at " << state.length();
      }
    }
    EXPECT_GT(rewound, 10) << c.name;
  }
}

// Around one step: nothing is held before and behind it.
TEST(Recurrent, KeepsItsWayBackForAStep) {
  std::mt19937 random(4);
  for (const Case& c : cases()) {
    Recurrent state(c.rule, 0);
    run(state, c, 3);
    const size_t bytes = state.bytes();
    while (state.length() < 40) {
      EXPECT_FALSE(state.trim(1));
      const int first = state.length();
      const int count = 2 + static_cast<int>(random() % 7);
      state.keep_way_back(count);
      run(state, c, count);
      const int back = static_cast<int>(random() % (count + 1));
      ASSERT_TRUE(state.trim(back)) << c.name;
      state.keep_way_back(0);
      EXPECT_EQ(state.length(), first + count - back);
      EXPECT_EQ(state.bytes(), bytes);
      ASSERT_TRUE(
          same_bits(values_of(state.arrays()), straight(c, state.length())));
    }
  }
}

TEST(Recurrent, LongStepsAreNotTaped) {
  const Case c = cases()[0];
  Recurrent state(c.rule, 8);
  run(state, c, 30);
  EXPECT_FALSE(state.trim(1));
  EXPECT_EQ(state.length(), 30);
  const size_t bytes = state.bytes();
  for (int i = 0; i < 500; ++i) {
    run(state, c, 1);
  }
  EXPECT_LT(state.bytes(), 20 * bytes);  // a tape of fixed length
}

TEST(Recurrent, SnapshotsComeBackBitForBit) {
  for (const Case& c : cases()) {
    Recurrent state(c.rule);
    run(state, c, 20);
    const auto snapshot = state.snapshot();
    const auto builder = state.builder();
    for (const auto& unit : snapshot->units()) {
      EXPECT_EQ(unit.end, 20);
      ASSERT_TRUE(builder->add(unit));
    }
    const auto read = builder->finish(20);
    ASSERT_TRUE(read);
    EXPECT_EQ((*read)->kind(), snapshot->kind());
    auto branch = state.fork();
    run(state, c, 5);
    Recurrent other(c.rule);
    other.restore(**read);
    EXPECT_EQ(other.length(), 20);
    EXPECT_EQ(branch->length(), 20);
    run(other, c, 5);
    EXPECT_TRUE(same_bits(values_of(other.arrays()), values_of(state.arrays())))
        << c.name;
    EXPECT_EQ(snapshot->rewind_floor(), 20);
    EXPECT_EQ(snapshot->trimmed(19), nullptr);
    EXPECT_EQ(snapshot->bytes(), (*read)->bytes());
  }
}

TEST(Recurrent, RefusesWhatIsNotItsOwn) {
  Recurrent delta(cases()[0].rule);
  run(delta, cases()[0], 3);
  auto unit = delta.snapshot()->units().at(0);
  EXPECT_FALSE(Recurrent(cases()[1].rule).builder()->add(unit));
  const auto builder = delta.builder();
  EXPECT_FALSE(builder->finish(3));
  unit.name = "array1";
  EXPECT_FALSE(builder->add(unit));
}

}  // namespace
}  // namespace rapid
