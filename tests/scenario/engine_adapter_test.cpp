// Requests with adapters: beside each other each gets what it gets alone, and
// states of one are never another's.
#include <gtest/gtest.h>

#include <list>
#include <random>

#include "engine/mlx_engine.h"
#include "scenario/toy_engine.h"
#include "unit/adapter_fixture.h"

namespace rapid {
namespace {

using test::Collector;
using test::Outcome;

constexpr const char* kFixture = "llama_affine4";

class EngineAdapterTest : public testing::Test {
 protected:
  void SetUp() override {
    mx::set_default_device(mx::Device::cpu);
    const auto model = load_model(fixture_folder(kFixture), false);
    for (const uint32_t seed : {1, 2, 3}) {
      const MadeAdapter made = make_adapter(
          *model, {.seed = seed, .rank = 4, .size = 0.2f, .peft = seed == 2});
      const std::string name = "a" + std::to_string(seed);
      sources.push_back({name, write_adapter(folder, name, made)});
    }
  }

  Status start(const std::vector<AdapterSource>& adapters, bool disk = false) {
    engine.reset();
    EngineOptions options;
    options.model_path = fixture_folder(kFixture).string();
    options.device = "cpu";
    options.prefill_chunk = 32;
    options.adapters = adapters;
    if (disk) {
      options.disk_folder = (folder.path() / "states").string();
      options.disk_bytes = 1 << 24;
    }
    RAPID_TRY(engine, make_engine(options));
    return {};
  }

  static GenerateRequest ask(int seed, const std::string& adapter) {
    GenerateRequest out;
    std::mt19937 random(static_cast<uint32_t>(seed));
    for (int i = 0; i < 150 + 7 * seed; ++i) {
      out.prompt.push_back(static_cast<int32_t>(random() % 90));
    }
    out.sampling.temperature = seed % 3 == 0 ? 1.f : 0.f;
    out.sampling.seed = static_cast<uint64_t>(seed);
    out.max_tokens = 20;
    out.logprobs = 0;
    out.adapter = adapter;
    return out;
  }

  std::vector<Outcome> together(const std::vector<GenerateRequest>& requests) {
    return test::together(*engine, requests);
  }
  Outcome run(const GenerateRequest& request) { return together({request})[0]; }
  Outcome cold(GenerateRequest request) {
    request.use_cache = false;
    return run(request);
  }

  test::TempFolder folder;
  std::vector<AdapterSource> sources;
  std::unique_ptr<Engine> engine;
};

TEST_F(EngineAdapterTest, EightRowsOfThreeAndOfNone) {
  ASSERT_TRUE(start(sources));
  EXPECT_EQ(
      engine->info().adapters, (std::vector<std::string>{"a1", "a2", "a3"}));
  std::vector<GenerateRequest> requests;
  for (int i = 0; i < 8; ++i) {
    requests.push_back(ask(i, i % 4 == 0 ? "" : "a" + std::to_string(i % 4)));
    requests.back().prompt[0] = 5;
  }
  // Two that differ in nothing but the adapter.
  requests[5].prompt = requests[6].prompt;
  const auto outcomes = together(requests);
  std::vector<Outcome> alone;
  for (size_t i = 0; i < requests.size(); ++i) {
    ASSERT_TRUE(outcomes[i].done) << i;
    alone.push_back(cold(requests[i]));
    EXPECT_EQ(outcomes[i].tokens, alone[i].tokens) << i;
    EXPECT_EQ(outcomes[i].logprobs, alone[i].logprobs) << i;
  }
  EXPECT_NE(alone[5].logprobs, alone[6].logprobs);
  // Without adapters the server is as if there were none.
  ASSERT_TRUE(start({}));
  for (const int i : {0, 4}) {
    const Outcome plain = cold(requests[static_cast<size_t>(i)]);
    EXPECT_EQ(plain.tokens, alone[static_cast<size_t>(i)].tokens);
    EXPECT_EQ(plain.logprobs, alone[static_cast<size_t>(i)].logprobs);
  }
}

TEST_F(EngineAdapterTest, StatesAreForTheirAdapterOnly) {
  ASSERT_TRUE(start(sources));
  for (const bool again : {false, true}) {
    for (const std::string adapter : {"a1", "", "a2", "a3"}) {
      const GenerateRequest request = ask(1, adapter);
      const Outcome got = run(request);
      const auto length = static_cast<int>(request.prompt.size());
      EXPECT_EQ(got.cached(), again ? length - 1 : 0) << adapter;
      EXPECT_EQ(got.logprobs, cold(request).logprobs) << adapter;
    }
  }
}

TEST_F(EngineAdapterTest, OnDiskTooAndByTheirContents) {
  ASSERT_TRUE(start({sources[0], sources[1]}, true));
  const Outcome first = run(ask(1, "a1"));
  const Outcome plain = run(ask(2, ""));
  // Another name for the one, another adapter by the other's name.
  ASSERT_TRUE(
      start({{"same", sources[0].folder}, {"a2", sources[2].folder}}, true));
  const Outcome same = run(ask(1, "same"));
  EXPECT_GT(same.cached(), 100);
  EXPECT_EQ(same.logprobs, first.logprobs);
  EXPECT_EQ(run(ask(1, "a2")).cached(), 0);
  EXPECT_EQ(run(ask(1, "")).cached(), 0);
  const Outcome warm = run(ask(2, ""));
  EXPECT_GT(warm.cached(), 100);
  EXPECT_EQ(warm.logprobs, plain.logprobs);
}

TEST_F(EngineAdapterTest, UnknownOnesAreNamed) {
  ASSERT_TRUE(start({sources[0]}));
  const Outcome got = run(ask(1, "a9"));
  ASSERT_TRUE(got.error);
  EXPECT_EQ(got.error->code, ErrorCode::not_found);
  EXPECT_EQ(got.error->param, "adapter");
  EXPECT_NE(got.error->hint.find("a1"), std::string::npos);
}

TEST_F(EngineAdapterTest, OneThatDoesNotLoadIsTheLoadsError) {
  const Status done = start({{"bad", (folder.path() / "none").string()}});
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, ErrorCode::not_found);
  EXPECT_EQ(done.error().param, "adapter");
}

}  // namespace
}  // namespace rapid
