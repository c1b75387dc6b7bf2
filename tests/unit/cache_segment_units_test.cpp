#include <gtest/gtest.h>

#include <algorithm>

#include "cache/segment_units.h"

namespace rapid {
namespace {

std::vector<LayerUnit> units(int layers, int pages) {
  std::vector<LayerUnit> out;
  for (int page = pages; page-- > 0;) {
    for (int layer = 0; layer < layers; ++layer) {
      for (const char* name : {"keys", "values"}) {
        LayerUnit unit{.layer = layer};
        unit.unit.name = name;
        unit.unit.first = page * 64;
        unit.unit.end = page * 64 + 64;
        out.push_back(unit);
      }
    }
  }
  return out;
}

TEST(SegmentUnits, KnowsWhatIsInAFile) {
  SegmentUnits known;
  const auto there = units(2, 3);
  EXPECT_EQ(known.find(7), nullptr);
  const auto& keys = known.put(7, there);
  EXPECT_TRUE(std::ranges::is_sorted(keys));
  ASSERT_EQ(known.find(7), &keys);
  for (const LayerUnit& unit : there) {
    EXPECT_TRUE(std::ranges::binary_search(keys, known.key_of(unit)));
  }
  for (LayerUnit unit : there) {
    unit.unit.name = "conv";
    EXPECT_FALSE(std::ranges::binary_search(keys, known.key_of(unit)));
  }
  known.put(7, units(1, 1));
  EXPECT_EQ(known.keys(), 2u);
  known.forget(7);
  known.forget(8);
  EXPECT_EQ(known.keys(), 0u);
}

TEST(SegmentUnits, StaysSmallHoweverMuchIsOnDisk) {
  SegmentUnits known;
  const auto long_prompt = units(24, 1000);
  for (int64_t segment = 1; segment <= 40; ++segment) {
    known.put(segment, long_prompt);
    EXPECT_NE(known.find(segment), nullptr);
    EXPECT_LE(known.keys(), SegmentUnits::kMostKeys);
  }
  const auto huge = units(64, 3000);
  known.put(41, huge);
  EXPECT_EQ(known.find(41)->size(), huge.size());
  known.put(42, units(1, 1));
  EXPECT_EQ(known.find(41), nullptr);
  EXPECT_EQ(known.keys(), 2u);
}

}  // namespace
}  // namespace rapid
