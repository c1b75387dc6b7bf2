// Where states are kept on the way through a prompt, and where the front finds
// the borders for it.
#include <gtest/gtest.h>

#include "engine/chat_prompt.h"
#include "engine/snapshot_plan.h"
#include "fake_text.h"

namespace rapid {
namespace {

constexpr uint64_t kPlenty = uint64_t{1} << 40;

StateCost recurrent() {
  StateCost cost;
  cost.fixed_bytes = 1000;
  cost.add({2, 100, 64, 0});
  return cost;
}

std::vector<int> positions(const std::vector<SnapshotPlace>& places) {
  std::vector<int> out;
  for (const SnapshotPlace& place : places) {
    out.push_back(place.position);
  }
  return out;
}

TEST(SnapshotPlan, StatesThatGoBackAreKeptAtTheEnd) {
  StateCost cost;
  cost.add({2, 100, 64, 0});
  const auto places = plan_snapshots(
      cost, {.length = 500, .common = 200, .borders = {100, {300}, 490}}, 0);
  EXPECT_EQ(positions(places), std::vector<int>{500});
  EXPECT_TRUE(places[0].lasting);
}

TEST(SnapshotPlan, RecurrentStatesAreKeptWherePromptsPart) {
  const auto places = plan_snapshots(
      recurrent(),
      {.length = 5000, .common = 2000, .borders = {1000, {4900}, 4990}},
      kPlenty);
  // The end is near the turn, which serves it, too.
  EXPECT_EQ(positions(places), (std::vector<int>{1000, 2000, 4900, 4990}));
  EXPECT_TRUE(places[0].lasting);
  EXPECT_TRUE(places[1].lasting);
  EXPECT_FALSE(places[2].lasting);
  EXPECT_TRUE(places[3].lasting);
}

TEST(SnapshotPlan, WithoutBordersATokenBeforeTheEnd) {
  const auto places = plan_snapshots(recurrent(), {.length = 300}, kPlenty);
  EXPECT_EQ(positions(places), std::vector<int>{299});
  EXPECT_FALSE(places[0].lasting);
}

TEST(SnapshotPlan, OnlyBehindWhatIsKnown) {
  const PromptToPlace prompt{
      .length = 5000, .known = 4000, .common = 4000, .borders = {1000, {}, 0}};
  EXPECT_EQ(
      positions(plan_snapshots(recurrent(), prompt, kPlenty)),
      std::vector<int>{4999});
}

TEST(SnapshotPlan, FewTokensAreNotWorthOne) {
  EXPECT_TRUE(plan_snapshots(recurrent(), {.length = 10}, kPlenty).empty());
}

TEST(SnapshotPlan, TheBudgetHolds) {
  const PromptToPlace prompt{
      .length = 5000, .common = 2000, .borders = {1000, {4000}, 4900}};
  EXPECT_EQ(plan_snapshots(recurrent(), prompt, 2999).size(), 2u);
  EXPECT_TRUE(plan_snapshots(recurrent(), prompt, 999).empty());
}

TEST(SnapshotPlan, WindowsNeedThemInTheMiddleOnly) {
  StateCost cost;
  cost.add({2, 100, 64, 128});
  EXPECT_EQ(cost.snapshot_bytes(), 2 * 100 * 4u);
  const auto places = plan_snapshots(
      cost, {.length = 5000, .borders = {1000, {}, 4990}}, kPlenty);
  EXPECT_EQ(positions(places), (std::vector<int>{1000, 4990, 5000}));
}

TEST(StateCost, FixedBytesAreASequences) {
  const StateCost cost = recurrent();
  EXPECT_EQ(cost.bytes(0), 1000u);
  EXPECT_EQ(cost.bytes(65), 1400u);
  EXPECT_EQ(cost.page_bytes(), 200u);
  EXPECT_EQ(cost.snapshot_bytes(), 1000u);
}

chat::Message said(const char* role, const char* text) {
  chat::Message out;
  out.role = role;
  out.content = text;
  return out;
}

TEST(PromptBorders, AreWhereMessagesBegin) {
  chat::Request request;
  request.messages = {
      said("system", "You help."),
      said("user", "One?"),
      said("assistant", "Two."),
      said("user", "Three?")};
  const auto model = fake_text_model();
  const auto prompts = build_prompts(*model, request, {.borders = true});
  ASSERT_TRUE(prompts) << prompts.error().what;
  const EnginePrompt& prompt = prompts->at(0);
  const auto before = [&](int tokens) {
    return model->codec->decode(
        std::span(prompt.ids).first(static_cast<size_t>(tokens)));
  };
  EXPECT_TRUE(before(prompt.borders.front).ends_with("<|end|><|turn|>user\n"));
  ASSERT_EQ(prompt.borders.messages.size(), 2u);
  EXPECT_TRUE(before(prompt.borders.messages[0])
                  .ends_with("One?<|end|><|turn|>assistant\n"));
  EXPECT_TRUE(before(prompt.borders.messages[1])
                  .ends_with("Two.<|end|><|turn|>user\n"));
  EXPECT_EQ(prompt.borders.turn, static_cast<int>(prompt.ids.size()));
  EXPECT_TRUE(before(prompt.borders.turn)
                  .ends_with("Three?<|end|><|turn|>assistant\n"));
}

TEST(PromptBorders, AreNotLookedForUnasked) {
  chat::Request request;
  request.messages = {said("user", "One?")};
  const auto prompts = build_prompts(*fake_text_model(), request);
  ASSERT_TRUE(prompts);
  EXPECT_EQ(prompts->at(0).borders, PromptBorders());
}

}  // namespace
}  // namespace rapid
