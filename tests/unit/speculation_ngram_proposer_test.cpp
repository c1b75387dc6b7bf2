#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "speculation/ngram_proposer.h"

namespace rapid {
namespace {

using Tokens = std::vector<int32_t>;

Tokens counted(int from, int count) {
  Tokens out;
  for (int i = 0; i < count; ++i) {
    out.push_back(from + i);
  }
  return out;
}

Tokens joined(Tokens left, const Tokens& right) {
  left.insert(left.end(), right.begin(), right.end());
  return left;
}

TEST(NgramProposer, GoesOnAsBefore) {
  NgramProposer proposer;
  const Tokens row = joined(counted(0, 50), {90, 91, 92, 20, 21, 22});
  EXPECT_EQ(proposer.propose(row, 4).tokens, counted(23, 4));
  EXPECT_TRUE(proposer.propose(row, 0).tokens.empty());
}

TEST(NgramProposer, KnowsNothingOfTheNew) {
  NgramProposer proposer;
  EXPECT_TRUE(proposer.propose({}, 8).tokens.empty());
  EXPECT_TRUE(proposer.propose(counted(0, 2), 8).tokens.empty());
  EXPECT_TRUE(proposer.propose(counted(0, 100), 8).tokens.empty());
  // Two tokens that came before are too few.
  EXPECT_TRUE(
      proposer.propose(joined(counted(0, 100), {5, 6}), 8).tokens.empty());
}

TEST(NgramProposer, TheLongestMatchWins) {
  NgramProposer proposer;
  const Tokens row = joined(
      joined({1, 2, 3, 4, 5, 60}, {9, 2, 3, 4, 5, 70}),
      joined({8, 3, 4, 5, 80}, {1, 2, 3, 4, 5}));
  EXPECT_EQ(proposer.propose(row, 1).tokens, Tokens{60});
}

TEST(NgramProposer, OfEqualMatchesTheNewest) {
  NgramProposer proposer;
  const Tokens row = {1, 2, 3, 60, 1, 2, 3, 70, 9, 1, 2, 3};
  EXPECT_EQ(proposer.propose(row, 1).tokens, Tokens{70});
}

TEST(NgramProposer, WhatRepeatsGoesOnRepeating) {
  NgramProposer proposer;
  const Tokens row = {1, 2, 3, 1, 2, 3};
  EXPECT_EQ(proposer.propose(row, 7).tokens, (Tokens{1, 2, 3, 1, 2, 3, 1}));
  EXPECT_EQ(proposer.propose(Tokens{7, 7, 7, 7}, 3).tokens, (Tokens{7, 7, 7}));
}

TEST(NgramProposer, KindsRiseWithTheMatch) {
  NgramProposer proposer;
  const Tokens row = joined(counted(0, 90), counted(0, 10));
  const Draft draft = proposer.propose(row, 24);
  ASSERT_EQ(draft.kinds.size(), 24u);
  EXPECT_EQ(draft.kinds.front(), NgramProposer::kind(10));
  EXPECT_EQ(draft.kinds.back(), NgramProposer::kind(33));
  EXPECT_TRUE(std::ranges::is_sorted(draft.kinds));
  EXPECT_EQ(NgramProposer::kind(NgramProposer::kLeast), 0);
  EXPECT_LT(NgramProposer::kind(1000), kDraftKinds);
}

TEST(NgramProposer, TextThatIsKnownComesFirst) {
  NgramProposer proposer(counted(100, 30));
  EXPECT_EQ(
      proposer.propose(Tokens{1, 110, 111, 112}, 3).tokens, counted(113, 3));
  EXPECT_TRUE(proposer.propose(Tokens{1, 110, 111, 112, 5}, 3).tokens.empty());
}

TEST(NgramProposer, AnotherRowIsAnother) {
  NgramProposer proposer;
  proposer.propose(joined(counted(0, 50), counted(0, 4)), 4);
  EXPECT_TRUE(proposer.propose(counted(200, 20), 4).tokens.empty());
}

// As the header says it, the slow way.
TEST(NgramProposer, IsTheRuleOnRandomRows) {
  std::mt19937 random(5);
  for (int round = 0; round < 60; ++round) {
    const int words = 2 + static_cast<int>(random() % 6);
    NgramProposer proposer;
    Tokens row;
    for (int step = 0; step < 60; ++step) {
      for (size_t n = 1 + random() % 12; n > 0; --n) {
        row.push_back(static_cast<int32_t>(random() % words));
      }
      const Draft got = proposer.propose(row, 5);
      const size_t size = row.size();
      int best = 0, tries = 0;
      size_t source = 0;
      for (size_t place = size - 1; place >= 3 && size > 3 && tries < 16;
           --place) {
        int length = 0;
        while (length < 64 && static_cast<size_t>(length) < place &&
               row[place - 1 - length] == row[size - 1 - length]) {
          ++length;
        }
        tries += length >= 3 ? 1 : 0;
        if (length >= 3 && length > best) {
          best = length;
          source = place;
        }
      }
      if (best == 0) {
        continue;  // or a chance meeting of hashes hid it: nothing is owed
      }
      ASSERT_EQ(got.tokens.size(), 5u);
      EXPECT_EQ(got.tokens.front(), row[source]);
      EXPECT_EQ(got.kinds.front(), NgramProposer::kind(best));
    }
  }
}

}  // namespace
}  // namespace rapid
