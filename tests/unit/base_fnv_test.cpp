#include <gtest/gtest.h>

#include <vector>

#include "base/fnv.h"

namespace rapid {
namespace {

uint64_t hash_of(std::string_view text) {
  Fnv1a hash;
  hash.add(text);
  return hash.value();
}

// The published vectors of the 64-bit FNV-1a.
TEST(Fnv1a, PublishedVectors) {
  EXPECT_EQ(hash_of(""), 0xcbf29ce484222325);
  EXPECT_EQ(hash_of("a"), 0xaf63dc4c8601ec8c);
  EXPECT_EQ(hash_of("foobar"), 0x85944171f73967e8);
}

TEST(Fnv1a, PartsAreTheWhole) {
  Fnv1a hash;
  hash.add("foo");
  hash.add(std::as_bytes(std::span("bar", 3)));
  EXPECT_EQ(hash.value(), hash_of("foobar"));
}

TEST(Fnv1a, IdsAndSeedsTellApart) {
  const std::vector<int32_t> ids = {1, 70000};
  Fnv1a one, other(1);
  one.add(ids);
  other.add(ids);
  EXPECT_NE(one.value(), other.value());
  Fnv1a swapped;
  swapped.add(std::vector<int32_t>{70000, 1});
  EXPECT_NE(one.value(), swapped.value());
}

}  // namespace
}  // namespace rapid
