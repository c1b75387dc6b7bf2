#include <gtest/gtest.h>

#include "api_fakes.h"

namespace rapid {
namespace {

constexpr uint64_t kMiB = 1 << 20;

void plan_for(FakeBackend& backend) {
  MemoryFacts& facts = backend.card_.memory;
  facts.limit = 500 * kMiB;
  facts.weight_bytes = 100 * kMiB;
  facts.process_bytes = 40 * kMiB;
  facts.prefill_chunk = 128;
  facts.most_choices = 8;
  facts.model_context = 4096;
  facts.states.add({4, kMiB, 64, 0});
}

TEST(MemoryPlanRoute, TellsTheItems) {
  Api api;
  plan_for(*api.backend);
  api.backend->stats_.resident_bytes = 123;
  const auto stream = api.call("GET", "/v1/memory/plan?ctx=640&batch=2");
  ASSERT_EQ(stream->status, 200);
  const Json reply = api.json(stream);
  EXPECT_EQ(reply["ctx"], 640);
  EXPECT_EQ(reply["batch"], 2);
  EXPECT_EQ(reply["items"]["states"], 80 * kMiB);
  EXPECT_EQ(reply["items"]["weights"], 100 * kMiB);
  EXPECT_EQ(reply["fits"], true);
  EXPECT_EQ(reply["now"]["resident_bytes"], 123);
  uint64_t sum = 0;
  for (const auto& [name, bytes] : reply["items"].items()) {
    sum += bytes.get<uint64_t>();
  }
  EXPECT_EQ(reply["total_bytes"], sum);
}

TEST(MemoryPlanRoute, WithoutNumbersItIsTheLongestContext) {
  Api api;
  plan_for(*api.backend);
  const Json reply = api.json(api.call("GET", "/v1/memory/plan"));
  EXPECT_EQ(reply["batch"], 1);
  EXPECT_EQ(reply["ctx"], reply["effective_context"]);
  EXPECT_EQ(reply["ctx"], 4096);
  const Json wide = api.json(api.call("GET", "/v1/memory/plan?batch=4"));
  EXPECT_LT(wide["effective_context"], 4096);
}

TEST(MemoryPlanRoute, RefusesWhatIsNoNumber) {
  Api api;
  plan_for(*api.backend);
  for (const char* query :
       {"ctx=0",
        "ctx=-1",
        "ctx=12x",
        "batch=",
        "batch=99999999999",
        "size=3"}) {
    const auto stream =
        api.call("GET", std::string("/v1/memory/plan?") + query);
    EXPECT_EQ(stream->status, 400) << query;
    EXPECT_EQ(api.json(stream)["error"]["code"], "invalid_value") << query;
  }
}

}  // namespace
}  // namespace rapid
