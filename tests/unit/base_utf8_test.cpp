#include <gtest/gtest.h>

#include "base/utf8.h"

namespace rapid {
namespace {

TEST(Utf8, HoldsBackOnlyWhatCanStillBecomeACharacter) {
  const std::string euro = "\xE2\x82\xAC";
  EXPECT_EQ(utf8_complete_prefix("a" + euro), 4u);
  EXPECT_EQ(utf8_complete_prefix("a" + euro.substr(0, 2)), 1u);
  EXPECT_EQ(utf8_complete_prefix("a" + euro.substr(0, 1)), 1u);
  EXPECT_EQ(utf8_complete_prefix("a\xFF"), 2u);
  EXPECT_EQ(utf8_complete_prefix("a\x80\x80\x80"), 4u);
  EXPECT_EQ(utf8_complete_prefix("\xF0\x9F\x98"), 0u);
  EXPECT_EQ(utf8_complete_prefix(""), 0u);
}

TEST(Utf8, ReplacesMaximalInvalidSequences) {
  EXPECT_EQ(utf8_replace_invalid("a\xF0\x9F\x98"), "a\xEF\xBF\xBD");
  EXPECT_EQ(utf8_replace_invalid("\xC0\x80"), "\xEF\xBF\xBD\xEF\xBF\xBD");
  EXPECT_FALSE(utf8_valid("\xED\xA0\x80"));
  EXPECT_TRUE(utf8_valid("gr\xC3\xBC\xC3\x9F"));
}

}  // namespace
}  // namespace rapid
