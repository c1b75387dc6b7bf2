#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "cache/snapshot_placement.h"

namespace rapid {
namespace {

constexpr size_t kEach = 1000;

double value_of(
    const std::vector<Border>& borders,
    std::vector<int> existing,
    const std::vector<int>& chosen,
    const PlacementOptions& options) {
  existing.insert(existing.end(), chosen.begin(), chosen.end());
  return expected_seconds(borders, existing, options.seconds_per_token) -
         static_cast<double>(chosen.size() * kEach) *
             options.min_seconds_per_byte;
}

// Every subset is tried.
double best_value(
    const std::vector<Border>& borders,
    const std::vector<int>& existing,
    const PlacementOptions& options) {
  double best = 0;
  bool first = true;
  for (unsigned set = 0; set < 1u << borders.size(); ++set) {
    std::vector<int> chosen;
    for (size_t i = 0; i < borders.size(); ++i) {
      if ((set >> i & 1) != 0) {
        chosen.push_back(borders[i].position);
      }
    }
    if (chosen.size() * kEach <= options.byte_budget) {
      const double value = value_of(borders, existing, chosen, options);
      best = first ? value : std::max(best, value);
      first = false;
    }
  }
  return best;
}

TEST(SnapshotPlacement, IsTheBestOfAllSubsets) {
  std::mt19937 random(5);
  for (int round = 0; round < 1500; ++round) {
    std::vector<Border> borders;
    for (unsigned i = random() % 9; i > 0; --i) {
      borders.push_back(
          {static_cast<int>(1 + random() % 1000),
           static_cast<double>(random() % 100) / 100});
    }
    std::vector<int> existing;
    for (unsigned i = random() % 3; i > 0; --i) {
      existing.push_back(static_cast<int>(1 + random() % 1000));
    }
    const PlacementOptions options{
        .seconds_per_token = 0.01,
        .bytes_per_snapshot = kEach,
        .byte_budget = kEach * (random() % 5),
        .min_seconds_per_byte = random() % 2 == 0 ? 0 : 1e-3};
    const auto chosen = place_snapshots(borders, existing, options);
    ASSERT_TRUE(std::is_sorted(chosen.begin(), chosen.end()));
    ASSERT_LE(chosen.size() * kEach, options.byte_budget);
    for (const int at : chosen) {
      ASSERT_TRUE(std::any_of(borders.begin(), borders.end(), [&](auto& b) {
        return b.position == at;
      }));
      ASSERT_EQ(std::count(existing.begin(), existing.end(), at), 0);
    }
    ASSERT_NEAR(
        value_of(borders, existing, chosen, options),
        best_value(borders, existing, options),
        1e-9);
  }
}

std::vector<Border> agent_prompt() {
  std::vector<Border> out = {{6000, weight_of(BorderKind::front)}};
  for (int i = 0; i < 10; ++i) {
    out.push_back({6300 + 300 * i, weight_of(BorderKind::message, 10 - i)});
  }
  out.push_back({9299, weight_of(BorderKind::end)});
  return out;
}

TEST(SnapshotPlacement, TheEndComesFirstThenTheFront) {
  PlacementOptions options{
      .bytes_per_snapshot = kEach, .byte_budget = 2 * kEach};
  EXPECT_EQ(
      place_snapshots(agent_prompt(), {}, options),
      (std::vector<int>{6000, 9299}));
  auto branched = agent_prompt();
  branched.push_back({8100, weight_of(BorderKind::branch)});
  options.byte_budget = 3 * kEach;
  EXPECT_EQ(
      place_snapshots(branched, {}, options),
      (std::vector<int>{6000, 8100, 9299}));
}

TEST(SnapshotPlacement, WhatIsThereIsNotTakenAgain) {
  const PlacementOptions options{
      .bytes_per_snapshot = kEach, .byte_budget = kEach};
  const std::vector<int> existing = {9299};
  EXPECT_EQ(
      place_snapshots(agent_prompt(), existing, options),
      (std::vector<int>{6000}));
}

TEST(SnapshotPlacement, NothingThatDoesNotPay) {
  const PlacementOptions options{
      .seconds_per_token = 1e-4,
      .bytes_per_snapshot = kEach,
      .byte_budget = 100 * kEach,
      .min_seconds_per_byte = 0.2 / kEach};
  // The messages save 0.03 s times their weight, the ends 0.3 and more.
  EXPECT_EQ(
      place_snapshots(agent_prompt(), {}, options),
      (std::vector<int>{6000, 9299}));
}

TEST(SnapshotPlacement, LongHistoriesTakeNoTime) {
  std::vector<Border> borders;
  for (int i = 1; i <= 5000; ++i) {
    borders.push_back(
        {i * 12, weight_of(BorderKind::message, (5000 - i) / 50)});
  }
  const PlacementOptions options{
      .bytes_per_snapshot = kEach, .byte_budget = 16 * kEach};
  const auto chosen = place_snapshots(borders, {}, options);
  EXPECT_EQ(chosen.size(), 16u);
  EXPECT_GT(chosen.back(), 50000);
}

TEST(SnapshotPlacement, NothingToPlace) {
  EXPECT_TRUE(place_snapshots({}, {}, {}).empty());
  const PlacementOptions none{.bytes_per_snapshot = kEach};
  EXPECT_TRUE(place_snapshots(agent_prompt(), {}, none).empty());
}

}  // namespace
}  // namespace rapid
