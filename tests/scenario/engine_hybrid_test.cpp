// The engine on models whose states cannot go back to any token: what is
// prefilled again is what attention's models would, give or take the tokens to
// the next snapshot, and no answer changes.
#include <algorithm>
#include <filesystem>
#include <random>

#include "engine/mlx_engine.h"
#include "toy_engine.h"
#include "unit/models_fixture.h"
#include "unit/temp_folder.h"

namespace rapid {
namespace {

using namespace test;

using Ids = std::vector<int32_t>;

constexpr int kWords = 96;

Ids said(int length, int seed) {
  std::mt19937 random(static_cast<uint32_t>(seed));
  Ids out;
  for (int i = 0; i < length; ++i) {
    out.push_back(static_cast<int32_t>(random() % kWords));
  }
  return out;
}

Ids joined(std::initializer_list<Ids> parts) {
  Ids out;
  for (const Ids& part : parts) {
    out.insert(out.end(), part.begin(), part.end());
  }
  return out;
}

// A running engine on one of the tiny checkpoints.
class Served {
 public:
  explicit Served(
      const std::string& name,
      const std::filesystem::path& disk = {},
      uint64_t budget = 0) {
    EngineSetup setup;
    setup.load = [name]() -> Result<std::unique_ptr<Model>> {
      RAPID_TRY(auto files, ModelFiles::open(fixture_folder(name).string()));
      return ModelRegistry::global().load(files, {.exact = false});
    };
    setup.states.kv_dtype = mx::float16;
    setup.prefill_chunk = 64;
    setup.state_budget = budget;
    setup.cache_bytes = budget > 0 ? budget / 2 : uint64_t{1} << 28;
    if (!disk.empty()) {
      setup.disk = DiskTierOptions{
          .folder = disk, .fingerprint = name, .byte_cap = 1u << 28};
    }
    auto started = start_engine(std::move(setup));
    EXPECT_TRUE(started) << started.error().what;
    engine_ = *std::move(started);
  }

  Outcome run(GenerateRequest request) {
    Collector collector(request.choices);
    engine_->submit(std::move(request), collector.sink());
    return collector.wait();
  }
  Engine& engine() { return *engine_; }

 private:
  std::unique_ptr<Engine> engine_;
};

GenerateRequest greedy(
    Ids prompt, int tokens, const PromptBorders& borders = {}) {
  GenerateRequest request;
  request.prompt = std::move(prompt);
  request.sampling.temperature = 0;
  request.max_tokens = tokens;
  request.borders = borders;
  return request;
}

GenerateRequest cold(GenerateRequest request) {
  request.use_cache = false;
  return request;
}

class Hybrid : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override { mx::set_default_device(mx::Device::cpu); }
};

// What the prompts of a conversation found in the cache, step by step.
struct Counts {
  int next_turn = 0;
  int other_agent = 0;
  int after_it = 0;
  int again = 0;
  int edited = 0;
  int restarted = 0;
};

Counts talk_with(const std::string& name) {
  const TempFolder disk;
  auto served = std::make_unique<Served>(name, disk.path());
  const Ids system = said(130, 1);
  const Ids opening = said(3, 2);
  const auto ask = [&](const Ids& prompt) {
    const auto request = greedy(
        prompt,
        8,
        {.front = 130,
         .messages = {},
         .turn = static_cast<int>(prompt.size())});
    Outcome out = served->run(request);
    EXPECT_EQ(out.text(), served->run(cold(request)).text());
    return out;
  };
  Counts out;
  const Ids first = joined({system, said(30, 3), opening});
  const Ids second = joined({first, ask(first).text(), said(25, 4), opening});
  const Outcome next = ask(second);
  out.next_turn = next.cached() - static_cast<int>(first.size());
  out.other_agent = ask(joined({system, said(40, 5), opening})).cached();
  const Ids third = joined({second, next.text(), said(25, 6), opening});
  const Outcome later = ask(third);
  out.after_it = later.cached() - static_cast<int>(second.size());
  const Outcome again = ask(third);
  EXPECT_EQ(again.text(), later.text());
  out.again = again.cached() - static_cast<int>(third.size());
  served.reset();
  served = std::make_unique<Served>(name, disk.path());
  const Ids fourth = joined({third, later.text(), said(25, 8), opening});
  out.restarted = ask(fourth).cached() - static_cast<int>(third.size());
  const Ids edited = joined({second, next.text(), said(20, 7), opening});
  out.edited = ask(edited).cached() - static_cast<int>(second.size());
  return out;
}

TEST_P(Hybrid, PrefillsWhatAttentionWould) {
  const Counts plain = talk_with("llama_f32");
  const Counts got = talk_with(GetParam());
  // All but the last sampled token.
  EXPECT_EQ(plain.next_turn, 7);
  EXPECT_EQ(got.next_turn, plain.next_turn);
  EXPECT_EQ(got.other_agent, 130);
  EXPECT_EQ(got.after_it, plain.after_it);
  EXPECT_EQ(got.again, plain.again);
  // Two messages may begin alike.
  EXPECT_EQ(got.edited, 7);
  EXPECT_GE(plain.edited, 7);
  EXPECT_EQ(got.restarted, 7);
  EXPECT_EQ(got.restarted, plain.restarted);
}

// A template that writes the answer's opening otherwise in later turns.
TEST_P(Hybrid, TheTurnIsFoundBeforeTheOpening) {
  Served served(GetParam());
  const Ids first = said(200, 1);
  const PromptBorders borders{.front = 50, .messages = {}, .turn = 200};
  served.run(greedy(joined({first, said(6, 2)}), 8, borders));
  const Outcome next = served.run(greedy(joined({first, said(40, 3)}), 8));
  EXPECT_EQ(next.cached(), 200);
}

// Nobody told where: the second who parts there leaves a snapshot.
TEST_P(Hybrid, BranchesAreKeptWhereRequestsParted) {
  Served served(GetParam());
  const Ids shared = said(200, 1);
  EXPECT_EQ(served.run(greedy(joined({shared, said(60, 2)}), 4)).cached(), 0);
  EXPECT_EQ(served.run(greedy(joined({shared, said(60, 3)}), 4)).cached(), 0);
  const auto third = greedy(joined({shared, said(60, 4)}), 4);
  const Outcome got = served.run(third);
  EXPECT_EQ(got.cached(), 200);
  EXPECT_EQ(got.text(), served.run(cold(third)).text());
}

TEST_P(Hybrid, AnEditedMessageGoesOnFromItsBeginning) {
  Served served(GetParam());
  const Ids before = said(420, 1);
  const PromptBorders borders{.front = 60, .messages = {200, 420}, .turn = 450};
  served.run(greedy(joined({before, said(32, 2)}), 4, borders));
  const auto edited = greedy(joined({before, said(35, 3)}), 4, borders);
  EXPECT_EQ(served.run(edited).cached(), 420);
}

TEST_P(Hybrid, AloneAndInABatchOfEight) {
  Served served(GetParam());
  std::vector<GenerateRequest> requests;
  for (int i = 0; i < 8; ++i) {
    requests.push_back(greedy(said(20 + 23 * i, 30 + i), 12));
  }
  std::vector<Ids> alone;
  for (const auto& request : requests) {
    alone.push_back(served.run(cold(request)).text());
  }
  std::vector<std::unique_ptr<Collector>> open;
  for (const auto& request : requests) {
    open.push_back(std::make_unique<Collector>(1));
    served.engine().submit(request, open.back()->sink());
  }
  for (size_t i = 0; i < open.size(); ++i) {
    EXPECT_EQ(open[i]->wait().text(), alone[i]) << i;
  }
}

TEST_P(Hybrid, ChoicesForkTheState) {
  Served served(GetParam());
  GenerateRequest request = greedy(said(90, 1), 10);
  const Ids want = served.run(cold(request)).text();
  request.choices = 3;
  const Outcome got = served.run(request);
  for (const Ids& tokens : got.tokens) {
    EXPECT_EQ(tokens, want);
  }
}

// Random turns, branches, cancels, evictions and restarts.
TEST_P(Hybrid, NothingChangesAnAnswer) {
  const TempFolder disk;
  // So little that kept states go, and requests wait.
  constexpr uint64_t kBudget = 1u << 20;
  auto served = std::make_unique<Served>(GetParam(), disk.path(), kBudget);
  Served reference(GetParam());
  std::mt19937 random(7);
  const auto below = [&](int n) {
    return static_cast<int>(random() % static_cast<uint32_t>(n));
  };
  std::vector<Ids> talks = {said(40, 1), said(70, 2), said(130, 3)};
  int hits = 0;
  for (int step = 0; step < 40; ++step) {
    Ids prompt = talks[static_cast<size_t>(below(3))];
    if (below(4) == 0) {  // an edit
      prompt.resize(prompt.size() / 2 + 1);
    }
    const auto more = said(1 + below(30), 100 + step);
    prompt.insert(prompt.end(), more.begin(), more.end());
    PromptBorders borders;
    if (below(2) == 0) {
      borders.front = 1 + below(40);
      borders.turn = static_cast<int>(prompt.size()) - below(3);
    }
    const auto request = greedy(prompt, 1 + below(12), borders);
    if (below(6) == 0) {
      Collector dropped(1);
      const RequestId id = served->engine().submit(request, dropped.sink());
      served->engine().cancel(id);
      dropped.wait();
    }
    const Outcome got = served->run(request);
    ASSERT_TRUE(got.done) << step;
    ASSERT_EQ(got.text(), reference.run(cold(request)).text()) << step;
    hits += got.cached() > 0 ? 1 : 0;
    prompt.insert(prompt.end(), got.text().begin(), got.text().end());
    talks[static_cast<size_t>(below(3))] =
        prompt.size() > 380 ? said(40, step) : prompt;
    if (below(15) == 0) {
      served.reset();  // it holds the folder
      served = std::make_unique<Served>(GetParam(), disk.path(), kBudget);
    }
    if (below(12) == 0) {
      served->engine().clear_cache();
    }
  }
  EXPECT_GT(hits, 10);
}

TEST_P(Hybrid, FixedBytesArePlanned) {
  Served served(GetParam());
  const StateCost& cost = served.engine().info().memory.states;
  EXPECT_GT(cost.fixed_bytes, 0u);
  EXPECT_EQ(cost.bytes(64) - cost.fixed_bytes, cost.page_bytes());
  EXPECT_EQ(cost.snapshot_bytes(), cost.fixed_bytes);
}

// MLX's thread lets go of what a step worked on a little after eval() returns.
double active_memory() {
  mx::synchronize();
  return static_cast<double>(mx::get_active_memory());
}

// What the plan counts for a sequence, against what its state takes of memory.
TEST_P(Hybrid, StatesHoldWhatThePlanCounts) {
  const StateCost cost = Served(GetParam()).engine().info().memory.states;
  const auto model = load_model(fixture_folder(GetParam()), false);
  ASSERT_TRUE(model);
  for (const int length : {1, 40, 64, 65, 200, 500}) {
    const double before = active_memory();
    SequenceState states = model->make_states({.kv_dtype = mx::float16});
    const Ids tokens = said(length, length);
    for (size_t at = 0; at < tokens.size(); at += 64) {
      const auto rest = std::span(tokens).subspan(at);
      const SequenceInput input{
          rest.first(std::min<size_t>(64, rest.size())),
          &states,
          SequenceInput::Logits::last};
      std::vector<mx::array> made = {model->forward({&input, 1})};
      for (const auto& state : states) {
        state->collect(made);
      }
      mx::eval(made);
    }
    const double held = active_memory() - before;
    const auto planned = static_cast<double>(cost.bytes(length));
    EXPECT_NEAR(held / planned, 1, 0.05) << length << " tokens";
  }
}

INSTANTIATE_TEST_SUITE_P(
    ,
    Hybrid,
    testing::Values(
        "qwen3_5", "qwen3_5_converted", "qwen3_next", "nemotron_h", "lfm2"),
    [](const auto& info) { return info.param; });

}  // namespace
}  // namespace rapid
