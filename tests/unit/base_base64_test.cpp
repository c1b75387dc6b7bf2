#include <gtest/gtest.h>

#include "base/base64.h"

namespace rapid {
namespace {

TEST(Base64, KnownTexts) {
  const std::pair<std::string, std::string> cases[] = {
      {"", ""},
      {"f", "Zg=="},
      {"fo", "Zm8="},
      {"foo", "Zm9v"},
      {"foob", "Zm9vYg=="},
      {std::string("\xff\x00\xfb\xef", 4), "/wD77w=="}};
  for (const auto& [bytes, text] : cases) {
    EXPECT_EQ(base64_encode(bytes), text);
    EXPECT_EQ(base64_decode(text), bytes);
  }
  EXPECT_EQ(base64_decode("Zg"), "f") << "padding may be left out";
}

TEST(Base64, OthersAreNone) {
  for (const char* text : {"Z", "Zm9v!", "Zm 9v", "Zg==Zg"}) {
    EXPECT_FALSE(base64_decode(text)) << text;
  }
}

}  // namespace
}  // namespace rapid
