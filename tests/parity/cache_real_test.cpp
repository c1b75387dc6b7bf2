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
#include <list>
#include <random>

#include "scenario/toy_engine.h"

namespace rapid {
namespace {

using test::Collector;
using test::Outcome;
using Tokens = std::vector<int32_t>;

struct Case {
  const char* file;
  int kv_bits = 16;
};

class RealCache : public testing::TestWithParam<Case> {
 protected:
  static EngineOptions options_in(const char* folder) {
    EngineOptions out;
    out.model_path = std::string(folder) + "/" + GetParam().file;
    out.device = "cpu";
    out.kv_bits = GetParam().kv_bits;
    return out;
  }
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
  EngineOptions options = options_in(folder);
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

// Requests in flight together, some with a common beginning.
TEST_P(RealCache, TogetherIsAlone) {
  const char* folder = std::getenv("RAPID_MLX_TEST_MODELS");
  if (folder == nullptr) {
    GTEST_SKIP() << "RAPID_MLX_TEST_MODELS is not set";
  }
  EngineOptions options = options_in(folder);
  options.prefill_chunk = 64;
  auto made = make_engine(options);
  ASSERT_TRUE(made) << made.error().what;
  engine = *std::move(made);
  std::mt19937 random(9);
  std::vector<GenerateRequest> requests(8);
  Tokens shared;
  for (int i = 0; i < 150; ++i) {
    shared.push_back(static_cast<int32_t>(random() % 20000));
  }
  for (GenerateRequest& request : requests) {
    if (random() % 2 == 0) {
      request.prompt = shared;
    }
    for (size_t n = 1 + random() % 120; n > 0; --n) {
      request.prompt.push_back(static_cast<int32_t>(random() % 20000));
    }
    request.sampling.temperature = random() % 2 == 0 ? 0.f : 1.f;
    request.sampling.seed = random();
    request.max_tokens = 4 + static_cast<int>(random() % 20);
    request.logprobs = 0;
  }
  std::list<Collector> collectors;
  for (const GenerateRequest& request : requests) {
    engine->submit(request, collectors.emplace_back(1).sink());
  }
  std::vector<Outcome> together;
  for (Collector& collector : collectors) {
    together.push_back(collector.wait());
  }
  for (size_t i = 0; i < requests.size(); ++i) {
    requests[i].use_cache = false;
    const Outcome alone = run(requests[i]);
    EXPECT_EQ(together[i].tokens, alone.tokens) << i;
    EXPECT_EQ(together[i].logprobs, alone.logprobs) << i;
  }
}

// What one process left on disk is the next one's, bit for bit.
TEST_P(RealCache, ANewEngineIsWarm) {
  const char* folder = std::getenv("RAPID_MLX_TEST_MODELS");
  if (folder == nullptr) {
    GTEST_SKIP() << "RAPID_MLX_TEST_MODELS is not set";
  }
  const auto place = std::filesystem::temp_directory_path() /
                     ("rapid-cache-" + std::to_string(::getpid()));
  EngineOptions options = options_in(folder);
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
  for (int i = 0; i < 500 && engine->stats().kept_prompts == 0; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  EXPECT_GT(engine->stats().kept_prompts, 0u) << "nobody had asked for it yet";
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

  // States of other bits are not taken, nor another build's.
  const int bits = options.kv_bits;
  options.kv_bits = bits == 16 ? 8 : 16;
  engine = *make_engine(options);
  EXPECT_EQ(run(request).cached(), 0);
  engine.reset();
  options.kv_bits = bits;
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
        Case{"smollm2-135m.gguf"},
        Case{"gemma3-270m.gguf"},
        Case{"qwen2.5-coder-0.5b.gguf"},
        Case{"smollm2-135m.gguf", 4},
        Case{"gemma3-270m.gguf", 8}),
    [](const auto& info) {
      std::string name =
          info.param.file + ("-" + std::to_string(info.param.kv_bits));
      std::ranges::replace_if(
          name, [](char c) { return std::isalnum(c) == 0; }, '_');
      return name;
    });

}  // namespace
}  // namespace rapid
