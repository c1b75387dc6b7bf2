// Every kind of rotation against transformers' numbers
// (tools/make_rope_goldens.py), and what a configuration may get wrong.
#include <gmock/gmock.h>

#include <cmath>

#include "models/rope_config.h"
#include "models_fixture.h"

namespace rapid {
namespace {

using testing::HasSubstr;

Json goldens() {
  const auto path =
      std::filesystem::path(RAPID_MLX_TEST_DATA) / "data/rope_goldens.json";
  auto json = parse_json(read_file(path));
  if (!json) {
    ADD_FAILURE() << json.error().what;
    return Json::array();
  }
  return *json;
}

TEST(Rope, EqualsTransformers) {
  const Json all = goldens();
  EXPECT_GE(all.size(), 18u);
  for (const Json& golden : all) {
    SCOPED_TRACE(golden["name"].get<std::string>());
    const auto kind = golden["kind"].get<std::string>();
    const auto rope = read_rope(
        golden["config"],
        {.head_dim = golden["head_dim"],
         .kind = kind,
         .context = golden["context"]});
    ASSERT_TRUE(rope) << rope.error().what;
    EXPECT_NEAR(rope->amplitude, golden["amplitude"].get<float>(), 1e-6f);
    const std::vector<float> got = rope_frequencies(*rope);
    const auto want = golden["frequencies"].get<std::vector<float>>();
    ASSERT_EQ(got.size(), want.size());
    for (size_t i = 0; i < got.size(); ++i) {
      EXPECT_NEAR(got[i], want[i], 2e-6f * want[i]) << i;
    }
  }
}

TEST(Rope, TopLevelKeysFillBothForms) {
  const Json config = {
      {"rope_theta", 300.0},
      {"partial_rotary_factor", 0.5},
      {"rope_parameters", {{"rope_type", "default"}}}};
  const auto rope = rope_of_model(config, 10000.0f, 16);
  ASSERT_TRUE(rope);
  EXPECT_EQ(rope->dims, 8);
  EXPECT_EQ(rope->base, 300.0f);
  const auto plain = rope_of_model(Json::object(), 500.0f, 16);
  ASSERT_TRUE(plain);
  EXPECT_EQ(plain->dims, 16);
  EXPECT_EQ(plain->base, 500.0f);
}

Error error_of(const Json& rope) {
  const auto read = rope_from_config(rope, 10000.0f, 16);
  if (read) {
    ADD_FAILURE() << "read " << dump_json(rope);
    return {};
  }
  return read.error();
}

TEST(Rope, WhatIsWrongIsNamed) {
  const Error kind = error_of({{"rope_type", "spiral"}});
  EXPECT_EQ(kind.code, ErrorCode::unsupported);
  EXPECT_THAT(kind.what, HasSubstr("spiral"));
  EXPECT_EQ(error_of({{"rope_type", "linear"}, {"factor", 0}}).param, "factor");
  EXPECT_EQ(error_of({{"rope_theta", "big"}}).param, "rope_theta");
  EXPECT_EQ(
      error_of({{"partial_rotary_factor", 0.2}}).param,
      "partial_rotary_factor");
  const Json few = {
      {"rope_type", "longrope"},
      {"factor", 2.0},
      {"short_factor", {1.0, 2.0}},
      {"long_factor", {1.0, 2.0}}};
  EXPECT_EQ(error_of(few).param, "short_factor");
}

}  // namespace
}  // namespace rapid
