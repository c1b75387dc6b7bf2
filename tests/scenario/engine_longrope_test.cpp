// The engine on a model whose rotation goes by the length of the whole
// sequence: prompts on both sides of the border and answers across it are
// those of transformers, and nothing of one form serves the other.
#include <algorithm>
#include <cmath>

#include "engine/mlx_engine.h"
#include "toy_engine.h"
#include "unit/border_fixture.h"
#include "unit/temp_folder.h"

namespace rapid {
namespace {

using namespace test;

using Ids = std::vector<int32_t>;

constexpr float kBar = 2e-3f;  // of log-probabilities
constexpr int kBorder = 32;

class Served {
 public:
  explicit Served(
      const std::filesystem::path& disk = {},
      Speculating speculating = Speculating::off) {
    EngineSetup setup;
    setup.load = []() -> Result<std::unique_ptr<Model>> {
      RAPID_TRY(
          auto files,
          ModelFiles::open(fixture_folder("phi3_longrope").string()));
      return ModelRegistry::global().load(files, {.exact = true});
    };
    setup.prefill_chunk = 16;
    setup.speculating = speculating;
    if (!disk.empty()) {
      setup.disk = DiskTierOptions{
          .folder = disk, .fingerprint = "longrope", .byte_cap = 1u << 28};
    }
    auto started = start_engine(std::move(setup));
    EXPECT_TRUE(started) << started.error().what;
    engine_ = *std::move(started);
  }

  Outcome run(const GenerateRequest& request) {
    return together(*engine_, {request}).front();
  }
  Engine& engine() { return *engine_; }

 private:
  std::unique_ptr<Engine> engine_;
};

GenerateRequest greedy(Ids prompt, int tokens) {
  GenerateRequest request;
  request.prompt = std::move(prompt);
  request.sampling.temperature = 0;
  request.max_tokens = tokens;
  request.logprobs = 0;
  return request;
}

GenerateRequest cold(GenerateRequest request) {
  request.use_cache = false;
  return request;
}

// The first `n` tokens that some conversation has; kinds have none in common.
Ids said(int n, int kind) {
  Ids out;
  for (int i = 0; i < n; ++i) {
    out.push_back((7 * i * i + 13 * i + 5 * kind + i % (kind + 3)) % 96);
  }
  return out;
}

float logprob(std::span<const float> logits, int32_t token) {
  const float most = *std::ranges::max_element(logits);
  double sum = 0;
  for (const float each : logits) {
    sum += std::exp(static_cast<double>(each - most));
  }
  return logits[static_cast<size_t>(token)] - most -
         static_cast<float>(std::log(sum));
}

class LongropeEngine : public testing::Test {
 protected:
  void SetUp() override { mx::set_default_device(mx::Device::cpu); }

  std::span<const float> row(std::span<const float> rows, size_t i) const {
    return rows.subspan(i * border_.vocabulary, border_.vocabulary);
  }
  BorderFixture border_ = read_border_fixture();
};

TEST_F(LongropeEngine, AnAnswerAcrossTheBorderIsTransformers) {
  for (const auto speculating : {Speculating::off, Speculating::always}) {
    Served served({}, speculating);
    const auto count = border_.answer.size();
    const Outcome got =
        served.run(greedy(border_.prompt, static_cast<int>(count)));
    ASSERT_EQ(got.text(), border_.answer);
    for (size_t i = 0; i < count; ++i) {
      const float want =
          logprob(row(border_.answer_rows(), i), border_.answer[i]);
      EXPECT_NEAR(got.logprobs[0][i], want, kBar) << i;
    }
  }
}

TEST_F(LongropeEngine, PromptsAreScoredInTheFormOfTheirWhole) {
  Served served;
  const Fixture longer = read_fixture("phi3_longrope");
  const auto check = [&](const Ids& prompt, std::span<const float> rows) {
    GenerateRequest request = greedy(prompt, 0);
    request.prompt_logprobs = 0;
    const Outcome got = served.run(request);
    ASSERT_EQ(got.prefilled->logprobs.size(), prompt.size());
    for (size_t i = 1; i < prompt.size(); ++i) {
      EXPECT_NEAR(
          *got.prefilled->logprobs[i].logprob,
          logprob(row(rows, i - 1), prompt[i]),
          kBar)
          << i << " of " << prompt.size();
    }
  };
  check(border_.brief, border_.brief_rows());
  check(longer.tokens, longer.logits);
}

TEST_F(LongropeEngine, KeptStatesServeTheirFormOnly) {
  Served served;
  const Ids talk = said(60, 1);
  const auto ask = [&](int length) {
    const auto request = greedy({talk.begin(), talk.begin() + length}, 2);
    const Outcome got = served.run(request);
    const Outcome want = served.run(cold(request));
    EXPECT_EQ(got.text(), want.text()) << length;
    EXPECT_EQ(got.logprobs, want.logprobs) << length;
    return got.cached();
  };
  EXPECT_EQ(ask(20), 0);
  EXPECT_EQ(ask(40), 0);  // the short form is there, and no use
  EXPECT_EQ(ask(50), 40);
  EXPECT_EQ(ask(28), 20);
  // An answer begins in one form and ends in the other.
  EXPECT_GE(ask(kBorder), 28);
  EXPECT_EQ(ask(33), 32);
}

TEST_F(LongropeEngine, CrossingInABatchChangesNothing) {
  for (const auto speculating : {Speculating::off, Speculating::always}) {
    Served served({}, speculating);
    std::vector<GenerateRequest> requests;
    for (int i = 0; i < 8; ++i) {  // some cross early, some late, some never
      requests.push_back(greedy(said(3 + 5 * i, i), 12 + i));
      requests.back().sampling.temperature = i % 2 == 0 ? 0.0f : 1.0f;
      requests.back().sampling.seed = static_cast<uint64_t>(i);
      requests.back().choices = i == 5 ? 3 : 1;
    }
    const auto beside = together(served.engine(), requests);
    for (size_t i = 0; i < requests.size(); ++i) {
      const Outcome alone = served.run(cold(requests[i]));
      EXPECT_EQ(beside[i].tokens, alone.tokens) << i;
      EXPECT_EQ(beside[i].logprobs, alone.logprobs) << i;
    }
  }
}

// A worker that died is replaced: what was said so far is prompt to the next.
TEST_F(LongropeEngine, AResumedStreamHasTheSameBits) {
  Served served;
  const auto whole = served.run(cold(greedy(border_.prompt, 24)));
  for (int spoken = 1; spoken < 24; spoken += 2) {
    GenerateRequest rest = greedy(border_.prompt, 24 - spoken);
    rest.prompt.insert(
        rest.prompt.end(), whole.text().begin(), whole.text().begin() + spoken);
    rest.resume = Resumption{.answered = spoken};
    const Outcome got = served.run(rest);
    EXPECT_EQ(
        got.text(), Ids(whole.text().begin() + spoken, whole.text().end()));
    EXPECT_EQ(
        got.logprobs[0],
        std::vector<float>(
            whole.logprobs[0].begin() + spoken, whole.logprobs[0].end()))
        << spoken;
  }
}

TEST_F(LongropeEngine, LongPromptsComeBackFromDisk) {
  const TempFolder disk;
  const Ids talk = said(200, 2);
  auto served = std::make_unique<Served>(disk.path());
  served->run(greedy({talk.begin(), talk.begin() + 150}, 3));
  served.reset();
  served = std::make_unique<Served>(disk.path());
  const Outcome got = served->run(greedy(talk, 3));
  EXPECT_EQ(got.cached(), 150);
  EXPECT_EQ(got.logprobs, served->run(cold(greedy(talk, 3))).logprobs);
}

}  // namespace
}  // namespace rapid
