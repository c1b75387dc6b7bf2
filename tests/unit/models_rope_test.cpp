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
    const RotationForms forms{rope->border};
    const std::vector<float> got =
        rope_frequencies(*rope, forms.of(golden["context"].get<size_t>()));
    const auto want = golden["frequencies"].get<std::vector<float>>();
    ASSERT_EQ(got.size(), want.size());
    for (size_t i = 0; i < got.size(); ++i) {
      EXPECT_NEAR(got[i], want[i], 2e-6f * want[i]) << i;
    }
  }
}

Json longrope(int context) {
  return {
      {"rope_type", "longrope"},
      {"max_position_embeddings", 64},
      {"original_max_position_embeddings", 32},
      {"short_factor", {1.0, 2.0}},
      {"long_factor", {3.0, 4.0}},
      {"context", context}};
}

TEST(Rope, LongropeHasABorderWhereTheContextIsLonger) {
  const auto both = rope_from_config(longrope(33), 10000.0f, 4);
  ASSERT_TRUE(both);
  EXPECT_EQ(both->border, 32);
  EXPECT_EQ(both->frequency_factors, (std::vector<float>{1, 2}));
  EXPECT_EQ(both->long_factors, (std::vector<float>{3, 4}));
  const auto brief = rope_from_config(longrope(32), 10000.0f, 4);
  ASSERT_TRUE(brief);
  EXPECT_EQ(brief->border, 0);
  EXPECT_EQ(brief->frequency_factors, both->frequency_factors);
  EXPECT_TRUE(brief->long_factors.empty());
  EXPECT_EQ(brief->amplitude, both->amplitude);
}

TEST(Rope, FormsGoByTheWholeLength) {
  const RotationForms forms{32};
  EXPECT_EQ(forms.of(32), 0);
  EXPECT_EQ(forms.of(33), 1);
  EXPECT_EQ(forms.room(30), 2);
  EXPECT_EQ(forms.room(32), 0);
  EXPECT_GT(forms.room(33), 1000);
  EXPECT_EQ(RotationForms().of(1000), 0);
  EXPECT_GT(RotationForms().room(1), 1000);
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
