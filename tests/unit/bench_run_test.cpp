#include <gtest/gtest.h>

#include <chrono>
#include <thread>

#include "bench/bench.h"

namespace rapid {
namespace {

// Answers inside submit(): the time of each step is what the test says.
class TimedEngine : public Engine {
 public:
  TimedEngine() { info_.vocabulary = 100, info_.context_length = 64; }

  const EngineInfo& info() const override { return info_; }
  void cancel(RequestId, int) override { ++cancels; }
  EngineStats stats() const override { return {}; }

  RequestId submit(GenerateRequest request, EngineSink sink) override {
    requests.push_back(request);
    if (failure) {
      sink(EngineFailed{*failure});
      return 1;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    sink(EnginePrefilled{});
    for (int i = 0; i < request.max_tokens - missing_tokens; ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
      for (int c = 0; c < request.choices; ++c) {
        sink(EngineToken{.choice = c, .token = i});
      }
    }
    sink(EngineDone{});
    return 1;
  }

  std::vector<GenerateRequest> requests;
  std::optional<Error> failure;
  int missing_tokens = 0;
  int cancels = 0;

 private:
  EngineInfo info_;
};

TEST(Bench, RandomTokensAreTheSameEverywhere) {
  EXPECT_EQ(random_tokens(4, 1000, 1), random_tokens(4, 1000, 1));
  EXPECT_NE(random_tokens(4, 1000, 1), random_tokens(4, 1000, 2));
  for (const int32_t id : random_tokens(1000, 7, 3)) {
    EXPECT_GE(id, 0);
    EXPECT_LT(id, 7);
  }
}

TEST(Bench, MedianOfOddAndEven) {
  EXPECT_EQ(median({3, 1, 2}), 2);
  EXPECT_EQ(median({4, 1, 3, 2}), 2.5);
  EXPECT_EQ(median({7}), 7);
}

TEST(Bench, AsksForAnUncachedGreedyRunAndAWarmUp) {
  TimedEngine engine;
  std::vector<int> announced;
  BenchOptions options{.prompt = 10, .generate = 4, .batch = 2, .runs = 3};
  options.before_run = [&](int run) { announced.push_back(run); };
  const auto report = run_bench(engine, options);
  ASSERT_TRUE(report) << report.error().what;
  EXPECT_EQ(announced, (std::vector<int>{0, 1, 2, 3}));
  EXPECT_EQ(report->runs.size(), 3u);
  ASSERT_EQ(engine.requests.size(), 4u);
  for (const auto& request : engine.requests) {
    EXPECT_EQ(request.prompt.size(), 10u);
    EXPECT_EQ(request.prompt, engine.requests[0].prompt);
    EXPECT_EQ(request.choices, 2);
    EXPECT_EQ(request.max_tokens, 4);
    EXPECT_EQ(request.sampling.temperature, 0);
    EXPECT_TRUE(request.end_tokens.empty());
    EXPECT_FALSE(request.use_cache);
  }
}

TEST(Bench, SpeedsFollowTheClock) {
  TimedEngine engine;
  const auto report =
      run_bench(engine, {.prompt = 10, .generate = 5, .batch = 2, .runs = 1});
  ASSERT_TRUE(report) << report.error().what;
  // Sleeps may last longer, never shorter: 10 tokens in 20 ms or more, and
  // 8 tokens after the first ones in 20 ms or more.
  EXPECT_LE(report->median.prefill_tps, 500);
  EXPECT_GT(report->median.prefill_tps, 1);
  ASSERT_TRUE(report->median.decode_tps);
  EXPECT_LE(*report->median.decode_tps, 400 * 1.01);
  EXPECT_GT(*report->median.decode_tps, 1);
  EXPECT_GE(report->median.ttft_seconds, 0.025);
}

TEST(Bench, OneTokenHasNoDecodeSpeed) {
  TimedEngine engine;
  const auto report =
      run_bench(engine, {.prompt = 4, .generate = 1, .runs = 1});
  ASSERT_TRUE(report);
  EXPECT_FALSE(report->median.decode_tps);
}

TEST(Bench, RefusesWhatDoesNotFit) {
  TimedEngine engine;
  const auto report = run_bench(engine, {.prompt = 60, .generate = 5});
  ASSERT_FALSE(report);
  EXPECT_EQ(report.error().code, ErrorCode::context_length);
  EXPECT_TRUE(engine.requests.empty());
}

TEST(Bench, PassesTheEnginesErrorOn) {
  TimedEngine engine;
  engine.failure = Error{ErrorCode::too_large, "no room"};
  const auto report = run_bench(engine, {.prompt = 4, .generate = 2});
  ASSERT_FALSE(report);
  EXPECT_EQ(report.error().what, "no room");
}

TEST(Bench, AnEarlyEndIsAnErrorNotASpeed) {
  TimedEngine engine;
  engine.missing_tokens = 1;
  const auto report = run_bench(engine, {.prompt = 4, .generate = 3});
  ASSERT_FALSE(report);
  EXPECT_EQ(report.error().what, "expected 3 tokens, got 2");
}

TEST(Bench, CancelEndsTheRun) {
  TimedEngine engine;
  BenchOptions options{.prompt = 4, .generate = 2};
  options.cancelled = [] { return true; };
  const auto report = run_bench(engine, options);
  ASSERT_FALSE(report);
  EXPECT_EQ(report.error().code, ErrorCode::cancelled);
}

}  // namespace
}  // namespace rapid
