// Pace and LaneClock: how much a step takes, and whose turn it is.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "engine/lane_clock.h"
#include "engine/pace.h"

namespace rapid {
namespace {

// A machine: seconds of a step.
double cost(double per_token, double per_step, int tokens) {
  return per_step + per_token * tokens;
}

TEST(Pace, StepsBesideAStreamAreShort) {
  for (const double rate : {40.0, 300.0, 3000.0, 30000.0}) {
    Pace pace(2048);
    const double per_token = 1 / rate;
    const double decode = 0.02;
    double worst = 0;
    for (int step = 0; step < 50; ++step) {
      pace.measured(0, 1, decode);
      const int chunk = pace.chunk(true);
      EXPECT_GE(chunk, 4);
      EXPECT_LE(chunk, 2048);
      const double seconds = cost(per_token, decode, chunk);
      pace.measured(chunk, 1, seconds);
      worst = step > 3 ? std::max(worst, seconds) : worst;
    }
    EXPECT_LE(worst, 0.15) << rate;
    // Time is used: half of it at least, where 2048 tokens don't end it.
    EXPECT_GE(worst, std::min(0.05, cost(per_token, decode, 1024))) << rate;
  }
}

// A prompt whose tokens get dearer with its depth, then a new one.
TEST(Pace, DeepPromptsAreReadInPartsOfAPanel) {
  Pace pace(2048);
  for (int prompt = 0; prompt < 3; ++prompt) {
    int least = 2048;
    int depth = 0;
    for (int step = 0; depth < 8000; ++step) {
      pace.measured(0, 1, 0.03);
      const int chunk = pace.chunk(true);
      const double seconds = cost(0.003 + 1e-6 * depth, 0.03, chunk);
      pace.measured(chunk, 1, seconds);
      depth += chunk;
      if (step > 3) {
        EXPECT_LE(seconds, 0.15) << depth;
      }
      least = std::min(least, chunk);
      if (step == 8) {
        EXPECT_EQ(chunk, 16);  // deep steps of the last prompt are forgotten
      }
    }
    EXPECT_EQ(least, 4);
  }
}

// Where fewer tokens cost as much as a panel, panels it is.
TEST(Pace, PartsThatDoNotPayAreLeft) {
  Pace pace(2048);
  int panels = 0;
  for (int step = 0; step < 100; ++step) {
    pace.measured(0, 1, 0.03);
    const int chunk = pace.chunk(true);
    pace.measured(chunk, 1, 0.03 + 0.1 * ((chunk + 15) / 16));
    panels += chunk == 16 ? 1 : 0;
  }
  EXPECT_GE(panels, 95);
}

TEST(Pace, AloneAStepTakesLonger) {
  Pace pace(512);
  int chunk = pace.chunk(false);
  EXPECT_EQ(chunk, 128);
  for (int step = 0; step < 5; ++step) {
    pace.measured(chunk, 0, chunk / 300.0);
    chunk = pace.chunk(false);
  }
  EXPECT_NEAR(chunk, 0.7 * 300, 16);
  EXPECT_LT(pace.chunk(true), 0.15 * 300);
  // A prompt's short end says nothing about the next one's speed.
  pace.measured(3, 0, 0.05);
  EXPECT_EQ(pace.chunk(false), chunk);
}

TEST(Pace, NeverMoreThanTheMostNorNone) {
  for (const int most : {1, 5, 16, 100}) {
    Pace pace(most);
    for (const double seconds : {1e-9, 1e-3, 1.0, 100.0}) {
      const int chunk = pace.chunk(false);
      EXPECT_GE(chunk, 1);
      EXPECT_LE(chunk, most);
      pace.measured(chunk, 0, seconds);
      EXPECT_GE(pace.chunk(true), 1);
      EXPECT_LE(pace.chunk(true), most);
    }
  }
}

// Lanes with different amounts of work get equal shares while they have any.
TEST(LaneClock, SharesAreEqual) {
  LaneClock clock;
  const std::vector<std::string> lanes = {"a", "b", "c"};
  for (const auto& lane : lanes) {
    clock.enter(lane);
  }
  std::map<std::string, double> got;
  std::mt19937 random(1);
  for (int step = 0; step < 3000; ++step) {
    const auto lane = *std::min_element(
        lanes.begin(), lanes.end(), [&](const auto& left, const auto& right) {
          return clock.at(left) < clock.at(right);
        });
    const double work = 1 + static_cast<double>(random() % 512);
    clock.charge(lane, work);
    got[lane] += work;
  }
  EXPECT_NEAR(got["a"], got["b"], 1024);
  EXPECT_NEAR(got["a"], got["c"], 1024);
}

TEST(LaneClock, IdlenessIsNotSavedUp) {
  LaneClock clock;
  clock.enter("busy");
  for (int i = 0; i < 100; ++i) {
    clock.charge("busy", 1000);
  }
  clock.enter("late");
  EXPECT_GE(clock.at("late"), 99 * 1000.0);
  EXPECT_LE(clock.at("late"), clock.at("busy"));
  // Nor does who leaves and returns get away with what was used.
  clock.charge("late", 50000);
  const double then = clock.at("late");
  clock.leave("late");
  clock.enter("late");
  EXPECT_EQ(clock.at("late"), then);
}

TEST(LaneClock, PromptsThatBeginAlikeAreOneLane) {
  std::vector<int32_t> one(300, 7);
  std::vector<int32_t> two = one;
  two.back() = 8;
  EXPECT_EQ(prompt_lane(one), prompt_lane(two));
  two[10] = 8;
  EXPECT_NE(prompt_lane(one), prompt_lane(two));
  EXPECT_EQ(prompt_lane({}), prompt_lane({}));
}

}  // namespace
}  // namespace rapid
