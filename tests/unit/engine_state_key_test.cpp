#include <gtest/gtest.h>

#include <random>

#include "engine/state_key.h"

namespace rapid {
namespace {

using Tokens = std::vector<int32_t>;

Tokens key(
    const StateKeys& keys,
    const std::string& name,
    const Tokens& tokens,
    int form = 0) {
  Tokens memory;
  const auto out = keys.key(name, form, tokens, memory);
  return {out.begin(), out.end()};
}

TEST(StateKeys, WithoutAnAdapterItIsTheTokens) {
  const StateKeys keys({{"a", 1}});
  EXPECT_EQ(key(keys, "", {5, 6, 7}), Tokens({5, 6, 7}));
  EXPECT_EQ(key(StateKeys(), "", {}), Tokens());
}

// From the first token on nothing is in common, whatever the tokens are.
TEST(StateKeys, AdaptersAndFormsHaveNothingInCommon) {
  std::mt19937 random(3);
  std::map<std::string, uint64_t> prints;
  for (int i = 0; i < 20; ++i) {
    prints[std::to_string(i)] = random();
  }
  const StateKeys keys(prints);
  std::vector<std::pair<std::string, int>> kinds = {{"", 1}};
  for (const auto& [name, print] : prints) {
    kinds.push_back({name, 0});
    kinds.push_back({name, 1});
  }
  std::map<int32_t, std::pair<std::string, int>> owner;
  for (const auto& kind : kinds) {
    for (int i = 0; i < 2000; ++i) {
      const auto token = static_cast<int32_t>(random() % 300000);
      const Tokens got =
          key(keys, kind.first, {token, 1, 2, 3, 4, 5}, kind.second);
      ASSERT_EQ(got.size(), 6u);
      EXPECT_LT(got[0], 0);
      EXPECT_EQ(got[5], 5);
      const auto [at, fresh] = owner.emplace(got[0], kind);
      EXPECT_EQ(at->second, kind);
    }
  }
}

// A prefix's key is the prefix of the key; other tokens have another key.
TEST(StateKeys, KeysHavePrefixes) {
  const StateKeys keys({{"a", 7}, {"b", 7}});
  const Tokens whole = key(keys, "a", {9, 8, 7, 6, 5, 4});
  for (size_t n = 0; n <= whole.size(); ++n) {
    Tokens tokens = {9, 8, 7, 6, 5, 4};
    tokens.resize(n);
    EXPECT_EQ(key(keys, "a", tokens), Tokens(whole.begin(), whole.begin() + n));
  }
  EXPECT_NE(key(keys, "a", {9, 8})[1], key(keys, "a", {9, 9})[1]);
  // The same contents by two names share their states.
  EXPECT_EQ(key(keys, "b", {9, 8, 7, 6, 5, 4}), whole);
  EXPECT_EQ(
      key(keys, "b", {9, 8, 7, 6, 5, 4}, 1),
      key(keys, "a", {9, 8, 7, 6, 5, 4}, 1));
}

}  // namespace
}  // namespace rapid
