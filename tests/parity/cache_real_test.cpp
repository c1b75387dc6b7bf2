// Law 3 on real models: random conversations with branches, cancels and
// several choices; what a warm engine says is, token by token, what it says
// without a cache.
//
// RAPID_MLX_TEST_MODELS names the folder with the .gguf files;
// RAPID_MLX_CACHE_STEPS how many requests a model gets (12).
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <random>

#include "scenario/toy_engine.h"

namespace rapid {
namespace {

using test::Collector;
using test::Outcome;
using Tokens = std::vector<int32_t>;

class RealCache : public testing::TestWithParam<const char*> {
 protected:
  Outcome run(const GenerateRequest& request) {
    Collector collector(request.choices);
    engine->submit(request, collector.sink());
    return collector.wait();
  }
  void cancel_somewhere(const GenerateRequest& request) {
    Collector collector(request.choices);
    const RequestId id = engine->submit(request, collector.sink());
    collector.wait_until([](const Outcome& now) {
      return now.progress > 0 || !now.tokens[0].empty();
    });
    engine->cancel(id);
    collector.wait();
  }
  std::unique_ptr<Engine> engine;
};

TEST_P(RealCache, WarmAnswersAreColdAnswers) {
  const char* folder = std::getenv("RAPID_MLX_TEST_MODELS");
  if (folder == nullptr) {
    GTEST_SKIP() << "RAPID_MLX_TEST_MODELS is not set";
  }
  EngineOptions options;
  options.model_path = std::string(folder) + "/" + GetParam();
  options.device = "cpu";
  auto made = make_engine(options);
  ASSERT_TRUE(made) << made.error().what;
  engine = *std::move(made);
  const char* wish = std::getenv("RAPID_MLX_CACHE_STEPS");
  const int steps = wish != nullptr ? std::atoi(wish) : 12;
  std::mt19937 random(3);
  const int words = std::min(engine->info().vocabulary, 20000);
  std::vector<Tokens> talks(1);
  int64_t cached = 0;
  for (int step = 0; step < steps; ++step) {
    // A turn more, or a branch from the middle of one.
    GenerateRequest request;
    request.prompt = talks[random() % talks.size()];
    if (random() % 3 == 0) {
      request.prompt.resize(random() % (request.prompt.size() + 1));
    }
    for (size_t n = 1 + random() % 90; n > 0; --n) {
      request.prompt.push_back(static_cast<int32_t>(random() % words));
    }
    request.sampling.temperature = random() % 2 == 0 ? 0.f : 1.f;
    request.sampling.seed = random();
    request.choices = random() % 4 == 0 ? 3 : 1;
    request.max_tokens = 1 + static_cast<int>(random() % 12);
    if (random() % 5 == 0) {
      cancel_somewhere(request);
    }
    GenerateRequest without = request;
    without.use_cache = false;
    const Outcome warm = run(request);
    const Outcome cold = run(without);
    ASSERT_TRUE(warm.done);
    ASSERT_EQ(warm.tokens, cold.tokens) << "request " << step;
    cached += warm.cached();
    request.prompt.insert(
        request.prompt.end(), warm.text().begin(), warm.text().end());
    talks.push_back(std::move(request.prompt));
  }
  EXPECT_GT(cached, 0);
}

// What one process left on disk is the next one's, bit for bit.
TEST_P(RealCache, ANewEngineIsWarm) {
  const char* folder = std::getenv("RAPID_MLX_TEST_MODELS");
  if (folder == nullptr) {
    GTEST_SKIP() << "RAPID_MLX_TEST_MODELS is not set";
  }
  const auto place = std::filesystem::temp_directory_path() /
                     ("rapid-cache-" + std::to_string(::getpid()));
  EngineOptions options;
  options.model_path = std::string(folder) + "/" + GetParam();
  options.device = "cpu";
  options.disk_folder = place.string();
  options.disk_bytes = uint64_t{1} << 30;
  GenerateRequest request;
  std::mt19937 random(5);
  for (int i = 0; i < 300; ++i) {
    request.prompt.push_back(static_cast<int32_t>(random() % 20000));
  }
  request.sampling.temperature = 0;
  request.max_tokens = 8;
  engine = *make_engine(options);
  const Outcome first = run(request);
  EXPECT_EQ(first.cached(), 0);
  engine.reset();

  engine = *make_engine(options);
  const Outcome again = run(request);
  EXPECT_EQ(again.cached(), 299);
  EXPECT_EQ(again.tokens, first.tokens);
  GenerateRequest turn = request;
  turn.prompt.insert(
      turn.prompt.end(), again.text().begin(), again.text().end());
  turn.prompt.push_back(7);
  const Outcome warm = run(turn);
  EXPECT_EQ(warm.cached(), 300 + 7);
  turn.use_cache = false;
  EXPECT_EQ(warm.tokens, run(turn).tokens);
  engine.reset();

  // Another build's states are not taken.
  options.build = "another";
  engine = *make_engine(options);
  EXPECT_EQ(run(request).cached(), 0);
  engine.reset();
  std::filesystem::remove_all(place);
}

INSTANTIATE_TEST_SUITE_P(
    Models,
    RealCache,
    testing::Values(
        "smollm2-135m.gguf", "gemma3-270m.gguf", "qwen2.5-coder-0.5b.gguf"),
    [](const auto& info) {
      std::string name = info.param;
      std::ranges::replace_if(
          name, [](char c) { return std::isalnum(c) == 0; }, '_');
      return name;
    });

}  // namespace
}  // namespace rapid
