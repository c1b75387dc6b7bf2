// Law 3, walked at random on the tiny models of tests/parity/fixtures, one of
// each architecture: requests in flight together with turns, branches, edits,
// retries, cancels, little memory, a small disk, restarts, and engines that
// die under open streams, with guesses in every step. Whatever happened, tokens
// and logprobs are those of the request alone, without a cache. The cache's
// invariants are checked behind every step of the engine.
//
// RAPID_MLX_LAW3_ROUNDS: of up to eight requests each; `make law3` asks for
// many. Then every fixture is walked.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <list>
#include <random>
#include <set>

#include "engine/mlx_engine.h"
#include "engine/open_request.h"
#include "hub/model_files.h"
#include "models/registry.h"
#include "toy_engine.h"

namespace rapid {
namespace {

using test::Collector;
using test::Outcome;
using Tokens = std::vector<int32_t>;

constexpr int kRounds = 25;
constexpr int kLongest = 380;  // of a prompt; the fixtures' context is 512
constexpr int kBudget = 1400;  // tokens of all requests and kept prompts
constexpr int kDisk = 4000;    // tokens

int wanted_rounds() {
  const char* wish = std::getenv("RAPID_MLX_LAW3_ROUNDS");
  return wish != nullptr ? std::atoi(wish) : 0;
}

std::filesystem::path fixtures() {
  return std::filesystem::path(RAPID_MLX_TEST_DATA) / "parity/fixtures";
}

std::vector<std::string> models() {
  std::set<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(fixtures())) {
    names.insert(entry.path().filename().string());
  }
  std::vector<std::string> out;
  std::set<std::string> seen;
  for (const std::string& name : names) {
    const auto files = ModelFiles::open((fixtures() / name).string());
    const std::string architecture = files ? (*files)->architecture : name;
    // One has sequences on both sides of its rotation's border.
    if (seen.insert(architecture).second || name == "phi3_longrope" ||
        wanted_rounds() > 0) {
      out.push_back(name);
    }
  }
  return out;
}

// A request, its journal, and what its client saw.
class Asked {
 public:
  explicit Asked(const GenerateRequest& request)
      : request(request),
        collector(request.choices),
        journal_(request, collector.sink()) {}

  void submit(Engine& engine) {
    deaf_ = false;
    ids_.clear();
    for (const OpenRequest::Part& part : journal_.parts()) {
      ids_.push_back(engine.submit(
          part.request, [this, choice = part.choice](const EngineEvent& event) {
            if (!deaf_) {
              journal_.on(choice, event);
            }
          }));
    }
  }
  void cancel(Engine& engine) {
    cancelled = true;
    for (const RequestId id : ids_) {
      engine.cancel(id);
    }
  }
  // What an engine says from here on is lost with it.
  void turn_deaf() { deaf_ = true; }
  // The engine is gone. True: the request is to be submitted to another one.
  bool survives() {
    if (journal_.over()) {
      return false;
    }
    journal_.engine_died();
    for (int c = 0; cancelled && c < request.choices; ++c) {
      journal_.cancel(c);
    }
    journal_.end_cancelled();
    return !journal_.over();
  }

  GenerateRequest request;
  Collector collector;
  bool cancelled = false;

 private:
  std::atomic<bool> deaf_ = false;
  OpenRequest journal_;
  std::vector<RequestId> ids_;
};

class Law3 : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    setenv("RAPID_MLX_SELF_CHECK", "1", 1);
    place_ = std::filesystem::temp_directory_path() /
             fmt::format("rapid-law3-{}-{}", ::getpid(), GetParam());
    cold_ = start(false);
    ASSERT_TRUE(cold_);
    warm_ = start(true);
    ASSERT_TRUE(warm_);
    random_.seed(21);
  }
  void TearDown() override {
    warm_.reset();
    cold_.reset();
    std::filesystem::remove_all(place_);
    unsetenv("RAPID_MLX_SELF_CHECK");
  }

  std::unique_ptr<Engine> start(bool warm) {
    const std::filesystem::path folder = fixtures() / GetParam();
    auto files = ModelFiles::open(folder.string());
    EXPECT_TRUE(files) << files.error().what;
    EngineSetup setup;
    setup.load = [files] {
      return ModelRegistry::global().load(*files, LoadOptions{});
    };
    setup.states.kv_dtype = mx::float16;
    setup.prefill_chunk = 48;
    if (warm) {
      setup.speculating = Speculating::always;
      if (one_in(2)) {
        setup.load_draft = setup.load;  // guesses for itself
      }
      const StateCost& cost = cold_->info().memory.states;
      setup.memory = cold_->info().memory;
      // Where every layer slides, length costs nothing: choices do.
      setup.state_budget =
          std::max(cost.bytes(kBudget), 4 * cost.bytes(kLongest / 2));
      setup.cache_bytes = setup.state_budget / 2;
      if (setup.load_draft) {
        setup.state_budget *= 2;  // its states are the same model's
      }
      setup.disk = DiskTierOptions{
          .folder = place_,
          .fingerprint = GetParam(),
          .byte_cap = cost.bytes(kDisk) + (256u << 10)};
    }
    auto engine = start_engine(std::move(setup));
    EXPECT_TRUE(engine) << engine.error().what;
    return engine ? *std::move(engine) : nullptr;
  }

  size_t below(size_t limit) { return random_() % limit; }
  bool one_in(size_t n) { return below(n) == 0; }
  int32_t any_token() {
    return static_cast<int32_t>(below(cold_->info().vocabulary));
  }

  // A turn more, a branch from the middle, an edit, or somebody new.
  Tokens next_prompt() {
    Tokens out;
    if (!talks_.empty() && !one_in(8)) {
      out = talks_[below(talks_.size())];
    }
    if (one_in(3)) {
      out.resize(below(out.size() + 1));
    } else if (one_in(4) && !out.empty()) {
      out[below(out.size())] = any_token();
    }
    for (size_t n = 1 + below(one_in(4) ? 200 : 30); n > 0; --n) {
      out.push_back(any_token());
    }
    if (out.size() > kLongest) {
      out.resize(1 + below(kLongest));
    }
    return out;
  }

  GenerateRequest next_request() {
    GenerateRequest request;
    request.prompt = next_prompt();
    request.sampling.temperature = one_in(2) ? 1.f : 0.f;
    request.sampling.seed = random_();
    request.choices = one_in(6) ? 3 : 1;
    request.max_tokens = 1 + static_cast<int>(below(30));
    request.logprobs = 0;
    request.use_cache = !one_in(8);
    request.lane = one_in(2) ? "" : fmt::format("agent{}", below(4));
    if (one_in(2)) {  // few words: guesses are often right
      for (int i = 0; i < 3; ++i) {
        request.sampling.logit_bias.push_back({any_token(), 50.f});
      }
    }
    if (one_in(20)) {
      request.prompt_logprobs = 1;
    }
    return request;
  }

  void round();
  void lose_the_engine(std::list<Asked>& asked);
  void compare(Asked& asked);

  std::filesystem::path place_;
  std::unique_ptr<Engine> cold_, warm_;
  std::mt19937_64 random_;
  std::vector<Tokens> talks_;
  int requests_ = 0, restarts_ = 0, losses_ = 0;
  int64_t prompt_tokens_ = 0, cached_ = 0;
  uint64_t evicted_ = 0, parked_ = 0;
  int drafted_ = 0, accepted_ = 0;
};

void Law3::lose_the_engine(std::list<Asked>& asked) {
  Asked& watched = *std::next(asked.begin(), below(asked.size()));
  const size_t seen = below(12);
  watched.collector.wait_until([&](const Outcome& now) {
    return now.tokens[0].size() >= seen || now.progress > 1;
  });
  for (Asked& each : asked) {
    each.turn_deaf();
  }
  ++losses_;
  warm_.reset();
  warm_ = start(true);
  ASSERT_TRUE(warm_);
  for (Asked& each : asked) {
    if (each.survives()) {
      each.submit(*warm_);
    }
  }
}

void Law3::compare(Asked& asked) {
  GenerateRequest alone = asked.request;
  alone.use_cache = false;
  alone.lane.clear();
  Collector collector(alone.choices);
  cold_->submit(alone, collector.sink());
  const Outcome want = collector.wait();
  const Outcome got = asked.collector.wait();
  ASSERT_TRUE(want.done) << want.error->what;
  ASSERT_TRUE(got.done) << got.error->what;
  for (int c = 0; c < alone.choices; ++c) {
    Tokens tokens = want.tokens[c];
    std::vector<float> logprobs = want.logprobs[c];
    if (asked.cancelled) {
      ASSERT_LE(got.tokens[c].size(), tokens.size());
      tokens.resize(got.tokens[c].size());
      logprobs.resize(got.tokens[c].size());
    }
    ASSERT_EQ(got.tokens[c], tokens) << "request " << requests_;
    ASSERT_EQ(got.logprobs[c], logprobs) << "request " << requests_;
  }
  ++requests_;
  prompt_tokens_ += static_cast<int64_t>(alone.prompt.size());
  cached_ += std::max(got.cached(), 0);
  drafted_ += got.done->drafted;
  accepted_ += got.done->accepted;
  Tokens talk = alone.prompt;
  talk.insert(talk.end(), want.text().begin(), want.text().end());
  if (talks_.size() < 24) {
    talks_.push_back(std::move(talk));
  } else {
    talks_[below(talks_.size())] = std::move(talk);
  }
}

void Law3::round() {
  if (one_in(12)) {
    warm_->clear_cache();
  }
  std::list<Asked> asked;
  for (size_t n = 1 + below(8); n > 0; --n) {
    const bool retry = !asked.empty() && one_in(6);
    asked.emplace_back(retry ? asked.back().request : next_request());
    asked.back().submit(*warm_);
    if (one_in(3)) {
      std::this_thread::sleep_for(std::chrono::microseconds(below(2000)));
    }
  }
  for (Asked& each : asked) {
    if (one_in(7)) {
      each.cancel(*warm_);
    }
  }
  if (one_in(5)) {
    ASSERT_NO_FATAL_FAILURE(lose_the_engine(asked));
  }
  for (Asked& each : asked) {
    each.collector.wait();
  }
  for (Asked& each : asked) {
    ASSERT_NO_FATAL_FAILURE(compare(each));
  }
  const EngineStats stats = warm_->stats();
  evicted_ = std::max(evicted_, stats.evicted_prompts);
  parked_ = std::max(parked_, stats.parked);
  if (one_in(6)) {
    ++restarts_;
    warm_.reset();
    warm_ = start(true);
    ASSERT_TRUE(warm_);
  }
}

TEST_P(Law3, NothingThatHappenedChangesAnAnswer) {
  const int rounds = wanted_rounds() > 0 ? wanted_rounds() : kRounds;
  for (int i = 0; i < rounds; ++i) {
    ASSERT_NO_FATAL_FAILURE(round()) << "round " << i;
  }
  // It was used; how much depends on who was quick.
  EXPECT_GT(cached_, prompt_tokens_ / 50);
  EXPECT_GT(restarts_ + losses_, 0);
  EXPECT_GT(accepted_, 0);
  EXPECT_GT(drafted_, accepted_);
  fmt::print(
      "{}: {} requests, {} of {} prompt tokens from the cache, {} restarts, "
      "{} engines lost, up to {} evictions and {} parked in one engine, {} of "
      "{} guesses right\n",
      GetParam(),
      requests_,
      cached_,
      prompt_tokens_,
      restarts_,
      losses_,
      evicted_,
      parked_,
      accepted_,
      drafted_);
}

INSTANTIATE_TEST_SUITE_P(
    Fixtures, Law3, testing::ValuesIn(models()), [](const auto& info) {
      return info.param;
    });

}  // namespace
}  // namespace rapid
