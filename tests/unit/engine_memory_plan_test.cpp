// The memory plan is arithmetic: these are its numbers.
#include <gtest/gtest.h>

#include "engine/memory_plan.h"

namespace rapid {
namespace {

constexpr uint64_t kMiB = 1 << 20;

// Ten layers of which five slide; a page of one layer is 1 MiB.
MemoryFacts facts(uint64_t limit) {
  MemoryFacts out;
  out.limit = limit;
  out.weight_bytes = 100 * kMiB;
  out.mapped_bytes = 20 * kMiB;
  out.process_bytes = 25 * kMiB;
  out.front_bytes = 5 * kMiB;
  out.reserve_bytes = 10 * kMiB;
  out.row_bytes = 10240;
  out.logits_bytes = 200000;
  out.layers = 10;
  out.prefill_chunk = 512;
  out.most_choices = 4;
  out.model_context = 100000;
  out.states.add({5, kMiB, 64, 0});
  out.states.add({5, kMiB, 64, 128});
  return out;
}

TEST(StateCost, CountsPagesAndWindows) {
  StateCost cost;
  cost.add({1, 100, 64, 0});
  cost.add({1, 100, 64, 0});
  cost.add({1, 100, 64, 128});
  ASSERT_EQ(cost.layers.size(), 2u);
  EXPECT_EQ(cost.layers[0].count, 2);
  EXPECT_EQ(cost.bytes(0), 0u);
  EXPECT_EQ(cost.bytes(1), 300u);
  EXPECT_EQ(cost.bytes(64), 300u);
  EXPECT_EQ(cost.bytes(65), 600u);
  // A window of two pages and one that it is leaving.
  EXPECT_EQ(cost.bytes(6400), 2 * 100 * 100u + 3 * 100u);
  // In a step of two pages it holds those as well.
  EXPECT_EQ(cost.bytes(6400, 128), cost.bytes(6400) + 2 * 100u);
  EXPECT_EQ(cost.bytes(128, 128), cost.bytes(128));
}

TEST(MemoryPlan, ItemsAddUp) {
  const MemoryPlan plan = plan_memory(facts(1000 * kMiB), 640, 3);
  EXPECT_EQ(plan.context, 640);
  EXPECT_EQ(plan.batch, 3);
  EXPECT_EQ(plan.states, 3 * (5 * 10 + 5 * 3) * kMiB);
  EXPECT_EQ(plan.weights, 100 * kMiB);
  EXPECT_EQ(plan.mapped_weights, 20 * kMiB);
  EXPECT_EQ(
      plan.total,
      plan.weights + plan.mapped_weights + plan.process + plan.front +
          plan.workspace + plan.states + plan.kept_prompts);
  EXPECT_EQ(plan.kept_prompts, 3 * 10 * kMiB);
  EXPECT_TRUE(plan.fits);
  EXPECT_LE(plan.total + plan.reserve, plan.limit);
  EXPECT_LE(plan.states + plan.cache, plan.available);
}

TEST(MemoryPlan, TheLongestContextIsTheLongestThatFits) {
  for (const int batch : {1, 2, 5, 40}) {
    const MemoryFacts f = facts(1500 * kMiB);
    const MemoryPlan most = plan_memory(f, 0, batch);
    ASSERT_GT(most.effective_context, 0);
    EXPECT_EQ(most.context, most.effective_context);
    EXPECT_TRUE(most.fits) << batch;
    EXPECT_FALSE(plan_memory(f, most.context + 1, batch).fits) << batch;
    EXPECT_LE(
        most.weights + most.mapped_weights + most.process + most.states +
            most.reserve,
        most.limit);
  }
  EXPECT_GT(
      plan_memory(facts(1500 * kMiB), 0, 1).effective_context,
      plan_memory(facts(1500 * kMiB), 0, 2).effective_context);
}

TEST(MemoryPlan, TheModelBoundsTheContext) {
  const MemoryFacts f = facts(uint64_t{1} << 50);
  EXPECT_EQ(plan_memory(f, 0, 1).effective_context, f.model_context);
  EXPECT_FALSE(plan_memory(f, f.model_context + 1, 1).fits);
  const MemoryPlan unlimited = plan_memory(facts(0), 5000, 1000);
  EXPECT_TRUE(unlimited.fits);
  EXPECT_EQ(unlimited.limit, 0u);
}

TEST(MemoryPlan, AChunkShrinksUntilStatesHaveRoom) {
  MemoryFacts f = facts(1000 * kMiB);
  EXPECT_EQ(affordable_chunk(f, 512), 512);
  f.states = {};
  f.row_bytes = kMiB / 8;
  f.layers = 1;
  const int chunk = affordable_chunk(f, 4096);
  EXPECT_LT(chunk, 4096);
  EXPECT_GE(chunk, 16);
  const uint64_t room = f.limit - 160 * kMiB;
  EXPECT_LE(workspace_bytes(f, chunk, 1, 64), room / 4);
  EXPECT_GT(workspace_bytes(f, 2 * chunk, 1, 64), room / 4);
  f.limit = 161 * kMiB;
  EXPECT_EQ(affordable_chunk(f, 512), 16);
  EXPECT_EQ(affordable_chunk(f, 3), 3);  // asked for
  f.limit = 0;
  EXPECT_EQ(affordable_chunk(f, 512), 512);
}

TEST(MemoryPlan, WhatDoesNotFitIsToldWithNumbers) {
  EXPECT_TRUE(check_weights_fit(100 * kMiB, 0));
  EXPECT_TRUE(check_weights_fit(100 * kMiB, 101 * kMiB));
  const Status weights = check_weights_fit(300 * kMiB, 200 * kMiB);
  ASSERT_FALSE(weights);
  EXPECT_EQ(weights.error().code, ErrorCode::too_large);
  EXPECT_NE(weights.error().what.find("300 MiB"), std::string::npos);
  EXPECT_NE(weights.error().what.find("200 MiB"), std::string::npos);

  EXPECT_TRUE(check_room(facts(1000 * kMiB)));
  for (const uint64_t limit : {1 * kMiB, 159 * kMiB, 170 * kMiB}) {
    const Status room = check_room(facts(limit));
    ASSERT_FALSE(room) << limit;
    EXPECT_EQ(room.error().code, ErrorCode::too_large);
  }

  const MemoryFacts f = facts(1000 * kMiB);
  const Error memory = prompt_too_long(f, 6400, 100 * kMiB);
  EXPECT_EQ(memory.code, ErrorCode::context_length);
  EXPECT_NE(memory.what.find("100.0 MiB are available"), std::string::npos);
  EXPECT_NE(memory.hint.find("--memory-limit"), std::string::npos);
  const Error model = prompt_too_long(f, f.model_context, 100 * kMiB);
  EXPECT_EQ(model.code, ErrorCode::context_length);
  EXPECT_NE(model.hint.find("--ctx"), std::string::npos);
}

TEST(MemoryPlan, AmountsAreRead) {
  EXPECT_EQ(parse_memory("4"), 4096 * kMiB);
  EXPECT_EQ(parse_memory("0.5"), 512 * kMiB);
  EXPECT_EQ(parse_memory("4GiB"), 4096 * kMiB);
  EXPECT_EQ(parse_memory("4 gib"), 4096 * kMiB);
  EXPECT_EQ(parse_memory("4000MiB"), 4000 * kMiB);
  EXPECT_EQ(parse_memory("700m"), 700 * kMiB);
  EXPECT_EQ(parse_memory("3GB"), 3000000000u);
  for (const char* bad :
       {"", "-1", "0", "much", "4 TiB", "80%", "GiB", "nan", "inf", "1e40"}) {
    EXPECT_FALSE(parse_memory(bad)) << bad;
  }
}

}  // namespace
}  // namespace rapid
