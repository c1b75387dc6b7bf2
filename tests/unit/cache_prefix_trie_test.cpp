#include <gtest/gtest.h>

#include <deque>
#include <random>

#include "cache/prefix_trie.h"
#include "unit/fake_state.h"

namespace rapid {
namespace {

using test::fake_set;
using test::Layers;
using test::set_is_of;
using test::Tokens;

constexpr size_t kPageBytes = test::kFakePage * sizeof(uint64_t);
constexpr size_t kPlenty = size_t{1} << 40;

const std::vector<Layers> kModels = {
    {0}, {-1}, {0, -1}, {6, 0}, {6}, {6, 0, -1}, {0, 0}};

Tokens count_up(int n, int from = 0) {
  Tokens out(static_cast<size_t>(n));
  for (int i = 0; i < n; ++i) {
    out[static_cast<size_t>(i)] = from + i;
  }
  return out;
}

Tokens joined(Tokens a, const Tokens& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

size_t common_length(const Tokens& a, const Tokens& b) {
  return static_cast<size_t>(
      std::mismatch(a.begin(), a.end(), b.begin(), b.end()).first - a.begin());
}

// The definition: every state is tried.
struct NaiveCache {
  std::vector<std::pair<Tokens, size_t>> entries;  // tokens, floor

  void insert(const Tokens& tokens, const SnapshotSet& states) {
    size_t floor = 1;
    for (const auto& state : states) {
      floor = std::max(floor, static_cast<size_t>(state->rewind_floor()));
    }
    entries.emplace_back(tokens, floor);
  }
  int find(const Tokens& tokens, size_t limit) const {
    size_t best = 0;
    for (const auto& [known, floor] : entries) {
      const size_t usable = std::min(common_length(known, tokens), limit);
      best = usable >= floor ? std::max(best, usable) : best;
    }
    return static_cast<int>(best);
  }
};

NaiveCache listed(const PrefixTrie& trie) {
  NaiveCache out;
  trie.for_each([&](std::span<const int32_t> tokens, int floor) {
    out.entries.emplace_back(
        Tokens(tokens.begin(), tokens.end()), static_cast<size_t>(floor));
  });
  return out;
}

// Prompts as agents make them: earlier ones, cut somewhere, with something
// new behind.
class Prompts {
 public:
  explicit Prompts(unsigned seed) : random_(seed) {}

  int below(int n) {
    return static_cast<int>(random_() % static_cast<unsigned>(n));
  }
  std::string lane() {
    return std::string(1, static_cast<char>('a' + below(4)));
  }

  Tokens next() {
    Tokens out;
    if (!seen_.empty() && below(5) > 0) {
      out = seen_[static_cast<size_t>(below(static_cast<int>(seen_.size())))];
      if (below(3) == 0) {
        out.resize(
            static_cast<size_t>(below(static_cast<int>(out.size()) + 1)));
      }
    }
    for (int i = 1 + below(24); i > 0; --i) {
      out.push_back(below(2));
    }
    seen_.push_back(out);
    if (seen_.size() > 40) {
      seen_.pop_front();
    }
    return out;
  }

 private:
  std::mt19937 random_;
  std::deque<Tokens> seen_;
};

TEST(PrefixTrie, StartsEmpty) {
  PrefixTrie trie({.byte_cap = kPlenty});
  const auto match = trie.find(count_up(10), 10);
  EXPECT_EQ(match.length, 0);
  EXPECT_TRUE(match.states.empty());
  EXPECT_EQ(match.pin, nullptr);
  EXPECT_TRUE(trie.check_integrity());
}

TEST(PrefixTrie, TrimsToWhatIsCommon) {
  PrefixTrie trie({.byte_cap = kPlenty});
  const Tokens stored = count_up(100);
  ASSERT_TRUE(trie.insert(stored, fake_set({0}, stored), "a"));
  Tokens other = count_up(100);
  other[61] = -1;
  const auto match = trie.find(other, 99);
  EXPECT_EQ(match.length, 61);
  EXPECT_EQ(match.common, 61);
  EXPECT_TRUE(set_is_of(match.states, std::span(other).first(61)));
}

TEST(PrefixTrie, FixedStatesComeBackWhereTheyWereTaken) {
  PrefixTrie trie({.byte_cap = kPlenty});
  const Tokens stored = count_up(100);
  for (const size_t n : {20u, 50u, 100u}) {
    const auto part = Tokens(stored.begin(), stored.begin() + n);
    ASSERT_TRUE(trie.insert(part, fake_set({0, -1}, part), "a"));
  }
  EXPECT_EQ(trie.find(stored, 100).length, 100);
  const auto match = trie.find(stored, 99);
  EXPECT_EQ(match.length, 50);
  EXPECT_EQ(match.common, 100);
  EXPECT_TRUE(set_is_of(match.states, std::span(stored).first(50)));
  EXPECT_EQ(trie.stats().entries, 3u);
}

TEST(PrefixTrie, EqualPrefixesAreStoredOnce) {
  PrefixTrie trie({.byte_cap = kPlenty});
  const Tokens front = count_up(80);
  for (int i = 0; i < 10; ++i) {
    const Tokens whole = joined(front, count_up(8, 1000 * (i + 1)));
    ASSERT_TRUE(trie.insert(whole, fake_set({0, 0}, whole), "a"));
  }
  size_t pages = 0;
  const auto stats = trie.stats();
  pages = 2 * (80 / test::kFakePage + 10 * 2) * kPageBytes;
  EXPECT_GE(stats.bytes, pages);
  EXPECT_LT(stats.bytes, pages + 10 * 500);  // nodes and entries
  EXPECT_TRUE(trie.check_integrity());
}

TEST(PrefixTrie, ALongerStateTakesTheShortersPlace) {
  PrefixTrie trie({.byte_cap = kPlenty});
  for (int n = 10; n <= 100; n += 10) {
    ASSERT_TRUE(trie.insert(count_up(n), fake_set({0}, count_up(n)), "a"));
  }
  EXPECT_EQ(trie.stats().entries, 1u);
  ASSERT_TRUE(trie.insert(count_up(50), fake_set({0}, count_up(50)), "b"));
  EXPECT_EQ(trie.stats().entries, 2u);  // another lane keeps its own
}

TEST(PrefixTrie, IsTheNaiveCacheWithoutACap) {
  for (const Layers& model : kModels) {
    for (unsigned seed = 0; seed < 6; ++seed) {
      PrefixTrie trie({.byte_cap = kPlenty});
      NaiveCache naive;
      Prompts prompts(seed);
      for (int step = 0; step < 300; ++step) {
        const Tokens tokens = prompts.next();
        const size_t limit = prompts.below(3) == 0
                                 ? static_cast<size_t>(prompts.below(40))
                                 : tokens.size() - 1;
        const auto match = trie.find(tokens, limit);
        ASSERT_EQ(match.length, naive.find(tokens, limit));
        if (match.length > 0) {
          ASSERT_TRUE(set_is_of(
              match.states,
              std::span(tokens).first(static_cast<size_t>(match.length))));
        }
        const auto states = fake_set(model, tokens);
        naive.insert(tokens, states);
        ASSERT_TRUE(trie.insert(tokens, states, prompts.lane()));
        const auto whole = trie.check_integrity();
        ASSERT_TRUE(whole) << whole.error().what;
      }
    }
  }
}

TEST(PrefixTrie, HoldsWhatItListsUnderAnyCap) {
  uint64_t evictions = 0;
  for (const Layers& model : kModels) {
    for (unsigned seed = 0; seed < 6; ++seed) {
      const size_t cap = 3000 + 1500 * seed;
      PrefixTrie trie({.byte_cap = cap, .lanes = 3});
      Prompts prompts(seed + 100);
      for (int step = 0; step < 400; ++step) {
        const Tokens tokens = prompts.next();
        const auto match = trie.find(tokens, tokens.size());
        ASSERT_EQ(match.length, listed(trie).find(tokens, tokens.size()));
        if (match.length > 0) {
          ASSERT_TRUE(set_is_of(
              match.states,
              std::span(tokens).first(static_cast<size_t>(match.length))));
        }
        if (trie.insert(tokens, fake_set(model, tokens), prompts.lane()) &&
            prompts.below(2) == 0) {
          ASSERT_EQ(
              trie.find(tokens, tokens.size()).length,
              static_cast<int>(tokens.size()));
        }
        if (prompts.below(50) == 0) {
          trie.shrink_to(cap / 2);
          ASSERT_LE(trie.stats().bytes, match.pin ? cap : cap / 2);
        }
        const auto whole = trie.check_integrity();
        ASSERT_TRUE(whole) << whole.error().what;
      }
      evictions += trie.stats().evictions;
    }
  }
  EXPECT_GT(evictions, 1000u);
}

TEST(PrefixTrie, PinnedEntriesStay) {
  Prompts prompts(7);
  PrefixTrie trie({.byte_cap = 6000});
  std::deque<std::pair<Tokens, TrieMatch>> running;
  for (int step = 0; step < 3000; ++step) {
    const Tokens tokens = prompts.next();
    (void)trie.insert(tokens, fake_set({0, -1}, tokens), prompts.lane());
    auto match = trie.find(tokens, tokens.size());
    if (match.length > 0) {
      running.emplace_back(tokens, std::move(match));
    }
    if (running.size() > 5) {
      running.pop_front();
    }
    for (const auto& [used, held] : running) {
      ASSERT_GE(trie.find(used, used.size()).length, held.length);
    }
    const auto whole = trie.check_integrity();
    ASSERT_TRUE(whole) << whole.error().what;
  }
  trie.clear();
  EXPECT_GT(trie.stats().entries, 0u);
  running.clear();
  trie.clear();
  EXPECT_EQ(trie.stats().entries, 0u);
  EXPECT_EQ(trie.stats().bytes, 0u);
}

TEST(PrefixTrie, AFloodLeavesOtherLanesTheirShare) {
  const size_t cap = 200000;
  PrefixTrie trie({.byte_cap = cap, .guaranteed = 0.5, .lanes = 4});
  const Tokens quiet = count_up(200);  // 1600 bytes of rows and its tokens
  ASSERT_TRUE(trie.insert(quiet, fake_set({0}, quiet), "quiet"));
  for (int i = 1; i < 500; ++i) {
    const Tokens loud = count_up(400, 100000 * i);
    ASSERT_TRUE(trie.insert(loud, fake_set({0}, loud), "loud"));
    (void)trie.find(loud, 400);
    (void)trie.find(loud, 400);
  }
  EXPECT_EQ(trie.find(quiet, 200).length, 200);
  EXPECT_GT(trie.stats().evictions, 100u);
  EXPECT_LE(trie.stats().bytes, cap);
  EXPECT_GT(trie.lane_bytes("loud"), cap / 2);
}

TEST(PrefixTrie, TheFrontOfALongStateStaysLongest) {
  PrefixTrie trie({.byte_cap = kPlenty});
  const Tokens whole = count_up(8192);
  ASSERT_TRUE(trie.insert(whole, fake_set({0}, whole), "a"));
  trie.shrink_to(trie.stats().bytes / 3);
  EXPECT_EQ(trie.find(whole, 8192).length, 2048);
  EXPECT_TRUE(trie.check_integrity());
}

// Of two snapshots of equal size the one that saves more tokens stays.
TEST(PrefixTrie, KeepsWhatSavesMoreSecondsPerByte) {
  PrefixTrie trie({.byte_cap = kPlenty});
  const Tokens whole = count_up(400);
  for (const size_t n : {200u, 204u, 400u}) {
    const Tokens part(whole.begin(), whole.begin() + n);
    ASSERT_TRUE(trie.insert(part, fake_set({-1}, part), "a"));
  }
  trie.shrink_to(trie.stats().bytes - 1);
  EXPECT_EQ(trie.find(whole, 399).length, 200);
  EXPECT_EQ(trie.find(whole, 400).length, 400);
}

TEST(PrefixTrie, WhatCanNeverFitIsRefusedAndHarmsNothing) {
  PrefixTrie trie({.byte_cap = 4000});
  const Tokens small = count_up(40);
  ASSERT_TRUE(trie.insert(small, fake_set({0}, small), "a"));
  const Tokens big = count_up(1000, 5000);
  EXPECT_FALSE(trie.insert(big, fake_set({0}, big), "a"));
  EXPECT_EQ(trie.find(small, 40).length, 40);
  EXPECT_TRUE(trie.check_integrity());
}

}  // namespace
}  // namespace rapid
