#include <gtest/gtest.h>

#include "base/json.h"

namespace rapid {
namespace {

TEST(Json, RefusesDepthBeforeTheParserRecurses) {
  EXPECT_TRUE(parse_json(std::string(128, '[') + std::string(128, ']')));
  EXPECT_FALSE(parse_json(std::string(129, '[') + std::string(129, ']')));
  EXPECT_FALSE(parse_json(std::string(1000000, '[')));
  EXPECT_TRUE(parse_json("\"" + std::string(1000, '[') + "\""));
}

TEST(Json, KeepsKeyOrderAndNamesTheByte) {
  auto value = parse_json(R"({"b":1,"a":2})");
  ASSERT_TRUE(value);
  EXPECT_EQ(dump_json(*value), R"({"b":1,"a":2})");
  auto bad = parse_json(R"({"b":1,})");
  ASSERT_FALSE(bad);
  EXPECT_NE(bad.error().what.find("byte 8"), std::string::npos);
}

}  // namespace
}  // namespace rapid
