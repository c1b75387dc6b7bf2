// A rotation that goes by the length of the whole sequence, on both sides of
// its border, against transformers; and the third law across it.
#include <algorithm>
#include <cmath>

#include "border_fixture.h"

namespace rapid {
namespace {

float distance(std::span<const float> got, std::span<const float> want) {
  EXPECT_EQ(got.size(), want.size());
  float worst = 0;
  for (size_t i = 0; i < std::min(got.size(), want.size()); ++i) {
    worst = std::max(worst, std::abs(got[i] - want[i]));
  }
  return worst;
}

class Longrope : public testing::Test {
 protected:
  void SetUp() override {
    mx::set_default_device(mx::Device::cpu);
    model_ = load_model(fixture_folder("phi3_longrope"));
    ASSERT_NE(model_, nullptr);
    ASSERT_EQ(model_->info().forms.border, static_cast<int>(brief().size()));
  }

  const std::vector<int32_t>& brief() const { return border_.brief; }
  std::vector<float> whole(
      std::span<const int32_t> ids, StateOptions options = {}) {
    SequenceState states = states_for(*model_, ids.size(), options);
    return run_all(*model_, states, ids);
  }

  BorderFixture border_ = read_border_fixture();
  Fixture longer_ = read_fixture("phi3_longrope");
  std::unique_ptr<Model> model_;
};

TEST_F(Longrope, APromptAsLongAsTheBorderHasTheShortForm) {
  EXPECT_LT(distance(whole(brief()), border_.brief_rows()), 2e-4f);
}

TEST_F(Longrope, AnAnswerCrossesTheBorder) {
  std::vector<int32_t> ids = border_.prompt;
  std::vector<float> got;
  SequenceState states;
  int form = -1;
  size_t consumed = 0;
  for (const int32_t token : border_.answer) {
    if (const int next = model_->info().forms.of(ids.size()); next != form) {
      form = next;
      consumed = 0;
      states = states_for(*model_, ids.size());
    }
    std::vector<float> rows =
        run_all(*model_, states, std::span(ids).subspan(consumed));
    consumed = ids.size();
    rows.erase(
        rows.begin(), rows.end() - static_cast<long>(border_.vocabulary));
    EXPECT_EQ(std::ranges::max_element(rows) - rows.begin(), token);
    append(got, rows);
    ids.push_back(token);
  }
  EXPECT_EQ(form, 1);
  EXPECT_LT(distance(got, border_.answer_rows()), 2e-4f);
}

// Whatever holds keys and values, and whoever else is in the batch.
TEST_F(Longrope, ABatchOfBothFormsIsEachAlone) {
  const std::span<const int32_t> ids(longer_.tokens);
  for (const int bits : {0, 8, 4}) {
    const StateOptions options{.kv_bits = bits};
    const std::vector<float> long_rows = whole(ids, options);
    const std::vector<float> short_rows = whole(brief(), options);
    EXPECT_GT(
        distance(std::span(long_rows).first(short_rows.size()), short_rows),
        0.05f);
    SequenceState first = states_for(*model_, ids.size(), options);
    SequenceState second = states_for(*model_, brief().size(), options);
    std::vector<float> got_first = run_all(*model_, first, ids.first(7));
    std::vector<float> got_second =
        run_all(*model_, second, std::span(brief()).first(3));
    using enum SequenceInput::Logits;
    const std::vector<SequenceInput> batch = {
        {ids.subspan(7), &first, all},
        {std::span(brief()).subspan(3), &second, all}};
    const std::vector<float> both = run(*model_, batch);
    const auto middle =
        both.begin() + std::ssize(long_rows) - std::ssize(got_first);
    append(got_first, {both.begin(), middle});
    append(got_second, {middle, both.end()});
    EXPECT_EQ(got_first, long_rows) << bits;
    EXPECT_EQ(got_second, short_rows) << bits;
  }
}

TEST_F(Longrope, AContextWithinTheBorderHasOneForm) {
  auto files = ModelFiles::open(fixture_folder("phi3_longrope").string());
  ASSERT_TRUE(files);
  const auto border = [&](int context) {
    const auto model = ModelRegistry::global().load(
        *files, {.exact = true, .context = context});
    EXPECT_TRUE(model);
    return model ? (*model)->info().forms.border : -1;
  };
  EXPECT_EQ(border(32), 0);
  EXPECT_EQ(border(33), 32);
  const auto gguf = load_model(fixture_folder("phi3_gguf"));
  ASSERT_NE(gguf, nullptr);
  EXPECT_EQ(gguf->info().forms.border, 32);
}

}  // namespace
}  // namespace rapid
