// Requests that run together: each gets what it would get alone, whatever
// joins, leaves, fails or gives way beside it.
#include <gtest/gtest.h>

#include <list>
#include <random>

#include "engine/mlx_engine.h"
#include "toy_engine.h"

namespace rapid {
namespace {

using namespace test;

class EngineBatchTest : public ::testing::Test {
 protected:
  void start(uint64_t budget_tokens = 0, int most_waiting = 256) {
    engine.reset();
    EngineSetup setup;
    setup.load = [this]() -> Result<std::unique_ptr<Model>> {
      return std::unique_ptr<Model>(std::make_unique<ToyModel>(knobs));
    };
    setup.prefill_chunk = 32;
    setup.state_budget = 2 * 1000 * budget_tokens;  // two layers
    setup.most_waiting = most_waiting;
    auto started = start_engine(std::move(setup));
    ASSERT_TRUE(started);
    engine = *std::move(started);
    knobs.tokens = knobs.widest = 0;
  }

  static GenerateRequest greedy(std::vector<int32_t> prompt, int tokens) {
    GenerateRequest request;
    request.prompt = std::move(prompt);
    request.sampling.temperature = 0;
    request.max_tokens = tokens;
    return request;
  }

  static std::vector<int32_t> prompt(int length, int seed = 1) {
    std::vector<int32_t> out;
    for (int i = 0; i < length; ++i) {
      out.push_back((i * 37 + seed * 101) % (kVocabulary - 1));
    }
    return out;
  }

  std::vector<Outcome> together(const std::vector<GenerateRequest>& requests) {
    return test::together(*engine, requests);
  }

  Outcome alone(GenerateRequest request) {
    request.use_cache = false;
    request.lane.clear();
    return together({request})[0];
  }

  ToyKnobs knobs;
  std::unique_ptr<Engine> engine;
};

TEST_F(EngineBatchTest, ManyRunAsOne) {
  start();
  std::vector<GenerateRequest> requests;
  for (int i = 0; i < 8; ++i) {
    requests.push_back(greedy(prompt(40 + 9 * i, i), 30));
    requests.back().sampling.temperature = i % 2 == 0 ? 0 : 1;
    requests.back().sampling.seed = i;
  }
  knobs.delay_us = 300;
  const auto outcomes = together(requests);
  EXPECT_GE(knobs.widest, 8);
  knobs.delay_us = 0;
  for (int i = 0; i < 8; ++i) {
    EXPECT_EQ(outcomes[i].tokens, alone(requests[i]).tokens) << i;
  }
}

TEST_F(EngineBatchTest, AnIdenticalRequestJoinsTheRunningPrefill) {
  start();
  knobs.delay_us = 1000;
  const auto same = greedy(prompt(300), 4);
  const auto outcomes = together({same, same, same, same});
  for (const Outcome& outcome : outcomes) {
    EXPECT_EQ(outcome.text(), outcomes[0].text());
  }
  EXPECT_EQ(outcomes[3].cached(), 299);
  EXPECT_LT(knobs.tokens, 300 + 4 * 5);
}

// Agents that start at once share what they share, and no more than that
// keeps one from the other.
TEST_F(EngineBatchTest, CommonBeginningsArePrefilledOnce) {
  for (const bool trims : {true, false}) {
    start();
    knobs.can_trim = trims;
    knobs.delay_us = 1000;
    std::vector<GenerateRequest> requests;
    for (int i = 0; i < 4; ++i) {
      auto ids = prompt(200);
      const auto more = prompt(20 + 40 * i, 7 + i);
      ids.insert(ids.end(), more.begin(), more.end());
      requests.push_back(greedy(ids, 3));
    }
    const auto outcomes = together(requests);
    int own = 0;
    for (int i = 0; i < 4; ++i) {
      own += 20 + 40 * i + 3;
      EXPECT_EQ(outcomes[i].cached(), i == 0 ? 0 : 200) << i;
    }
    EXPECT_LE(knobs.tokens, 200 + own);
    knobs.delay_us = 0;
    for (int i = 0; i < 4; ++i) {
      EXPECT_EQ(outcomes[i].text(), alone(requests[i]).text()) << i;
    }
  }
}

TEST_F(EngineBatchTest, AShortPromptNeedNotWaitForALongOne) {
  start();
  knobs.delay_us = 3000;
  Collector slow(1);
  Collector quick(1);
  engine->submit(greedy(prompt(390, 1), 2), slow.sink());
  slow.wait_until([](const Outcome& now) { return now.progress > 0; });
  engine->submit(greedy(prompt(40, 2), 1), quick.sink());
  ASSERT_TRUE(quick.wait().done);
  EXPECT_FALSE(slow.wait_until([](const Outcome&) { return true; }).prefilled);
  ASSERT_TRUE(slow.wait().done);
}

// The lane that asks for much gets no more than the one that asks for little.
TEST_F(EngineBatchTest, LanesTakeTurns) {
  start();
  knobs.delay_us = 2000;
  std::list<Collector> greedy_lane;
  for (int i = 0; i < 20; ++i) {
    auto request = greedy(prompt(200, 10 + i), 1);
    request.lane = "much";
    engine->submit(request, greedy_lane.emplace_back(1).sink());
  }
  Collector other(1);
  auto request = greedy(prompt(200, 90), 1);
  request.lane = "little";
  engine->submit(request, other.sink());
  ASSERT_TRUE(other.wait().done);
  int done = 0;
  for (Collector& each : greedy_lane) {
    const Outcome now = each.wait_until([](const Outcome&) { return true; });
    done += now.done ? 1 : 0;
  }
  EXPECT_LE(done, 3);
  for (Collector& each : greedy_lane) {
    EXPECT_TRUE(each.wait().done);
  }
}

TEST_F(EngineBatchTest, WhoOutgrowsMemoryGivesWayAndGoesOn) {
  start(300);
  std::vector<GenerateRequest> requests;
  for (int i = 0; i < 4; ++i) {
    requests.push_back(greedy(prompt(40, i), 200));
    requests.back().choices = 1 + i % 2;
    requests.back().max_tokens = 200 / requests.back().choices;
    requests.back().sampling.temperature = 1;
  }
  knobs.delay_us = 100;
  const auto outcomes = together(requests);
  EXPECT_GT(engine->stats().parked, 0u);
  knobs.delay_us = 0;
  for (int i = 0; i < 4; ++i) {
    ASSERT_TRUE(outcomes[i].done) << i;
    EXPECT_EQ(outcomes[i].tokens, alone(requests[i]).tokens) << i;
  }
}

TEST_F(EngineBatchTest, OneBadRequestFailsAlone) {
  start();
  knobs.poison = kVocabulary - 1;  // never sampled by the others' prompts
  knobs.delay_us = 300;
  std::vector<GenerateRequest> requests;
  for (int i = 0; i < 5; ++i) {
    requests.push_back(greedy(prompt(60 + i, i), 25));
    requests.back().sampling.logit_bias = {{knobs.poison, -100.f}};
  }
  requests[2].prompt[50] = knobs.poison;
  requests[4].choices = 2;
  const auto outcomes = together(requests);
  knobs.delay_us = 0;
  for (int i = 0; i < 5; ++i) {
    if (i == 2) {
      ASSERT_TRUE(outcomes[i].error);
      EXPECT_NE(outcomes[i].error->what.find("poison"), std::string::npos);
    } else {
      ASSERT_TRUE(outcomes[i].done) << i;
      EXPECT_EQ(outcomes[i].tokens, alone(requests[i]).tokens) << i;
    }
  }
}

TEST_F(EngineBatchTest, AStepThatFailsOnceFailsNobodyOfMany) {
  knobs.throw_rows = 2;  // alone, one would fail
  for (int step = 1; step < 30; step += 4) {
    start();
    std::vector<GenerateRequest> requests;
    for (int i = 0; i < 3; ++i) {
      requests.push_back(greedy(prompt(60 + i, step + i), 12));
    }
    requests[1].prompt_logprobs = 0;
    requests[1].logprobs = 0;
    knobs.delay_us = 500;
    std::list<Collector> collectors;
    for (const GenerateRequest& request : requests) {
      engine->submit(request, collectors.emplace_back(1).sink());
    }
    // From here on all three are in.
    collectors.back().wait_until(
        [](const Outcome& now) { return now.progress > 0; });
    knobs.throw_at = step;
    for (int i = 0; Collector & collector : collectors) {
      const Outcome outcome = collector.wait();
      EXPECT_TRUE(outcome.done) << step;
      knobs.throw_at = -1;
      const auto want = alone(requests[i++]);
      EXPECT_EQ(outcome.tokens, want.tokens) << step;
      EXPECT_EQ(outcome.logprobs, want.logprobs);
      if (want.prefilled->logprobs.size() > 0) {
        EXPECT_EQ(outcome.prefilled->logprobs.size(), 61u);
      }
    }
  }
}

TEST_F(EngineBatchTest, AFullQueueSaysSo) {
  start(0, 3);
  knobs.delay_us = 2000;
  std::list<Collector> open;
  int refused = 0;
  auto wide = greedy(prompt(60), 300);
  wide.choices = 16;  // alone in the batch
  engine->submit(wide, open.emplace_back(16).sink());
  open.front().wait_until([](const Outcome& now) { return now.progress > 0; });
  for (int i = 0; i < 5; ++i) {
    Collector& each = open.emplace_back(1);
    engine->submit(greedy(prompt(30, i), 1), each.sink());
  }
  for (auto it = std::next(open.begin()); it != open.end(); ++it) {
    const Outcome now = it->wait_until([&](const Outcome&) { return true; });
    refused += now.error && now.error->code == ErrorCode::busy ? 1 : 0;
  }
  for (int i = 0; refused < 2 && i < 1000; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    refused = 0;
    for (auto it = std::next(open.begin()); it != open.end(); ++it) {
      const Outcome now = it->wait_until([&](const Outcome&) { return true; });
      refused += now.error && now.error->code == ErrorCode::busy ? 1 : 0;
    }
  }
  EXPECT_EQ(refused, 2);
  engine.reset();  // before the collectors
}

// Law 3: random requests in flight together, with branches, retries, cancels,
// failures and little memory; whoever ends undisturbed said what it says
// alone.
TEST_F(EngineBatchTest, NothingThatHappensBesideChangesAnAnswer) {
  std::mt19937 random(11);
  for (const int budget : {0, 350, 900}) {
    start(budget);
    knobs.can_trim = random() % 2 == 0;
    std::vector<std::vector<int32_t>> talks = {prompt(50)};
    for (int round = 0; round < 25; ++round) {
      std::vector<GenerateRequest> requests;
      std::list<Collector> collectors;
      std::vector<RequestId> ids;
      knobs.delay_us = static_cast<int>(random() % 200);
      knobs.throw_at =
          random() % 3 == 0 ? 1 + static_cast<int>(random() % 20) : -1;
      for (size_t n = 1 + random() % 9; n > 0; --n) {
        auto ids_of = talks[random() % talks.size()];
        ids_of.resize(random() % (ids_of.size() + 1));
        for (size_t more = 1 + random() % 60; more > 0; --more) {
          ids_of.push_back(static_cast<int32_t>(random() % kVocabulary));
        }
        ids_of.resize(std::min<size_t>(ids_of.size(), 200));
        auto request = greedy(ids_of, 1 + static_cast<int>(random() % 40));
        request.sampling.temperature = random() % 2 == 0 ? 0.f : 1.f;
        request.sampling.seed = random();
        request.choices = random() % 4 == 0 ? 3 : 1;
        request.use_cache = random() % 5 != 0;
        request.lane = random() % 2 == 0 ? "" : "lane";
        requests.push_back(request);
        ids.push_back(engine->submit(
            request, collectors.emplace_back(request.choices).sink()));
        if (random() % 3 == 0) {
          std::this_thread::sleep_for(std::chrono::microseconds(300));
        }
      }
      std::vector<bool> cancelled(ids.size());
      for (size_t i = 0; i < ids.size(); ++i) {
        if (random() % 6 == 0) {
          engine->cancel(ids[i], random() % 2 == 0 ? -1 : 0);
          cancelled[i] = true;
        }
      }
      std::vector<Outcome> outcomes;
      for (Collector& collector : collectors) {
        outcomes.push_back(collector.wait());
      }
      knobs.throw_at = -1;
      knobs.delay_us = 0;
      int failed = 0;
      for (size_t i = 0; i < ids.size(); ++i) {
        const auto want = alone(requests[i]);
        if (outcomes[i].error &&
            outcomes[i].error->code == ErrorCode::internal) {
          ++failed;
          continue;
        }
        ASSERT_EQ(outcomes[i].error.has_value(), want.error.has_value())
            << outcomes[i].error->what;
        if (want.error) {
          continue;  // too big for this budget
        }
        for (int c = 0; c < requests[i].choices; ++c) {
          const auto& got = outcomes[i].tokens[c];
          auto expected = want.tokens[c];
          if (cancelled[i]) {
            ASSERT_LE(got.size(), expected.size());
            expected.resize(got.size());
          }
          ASSERT_EQ(got, expected) << budget << " " << round << " " << i;
        }
        talks.push_back(requests[i].prompt);
        talks.back().insert(
            talks.back().end(), want.text().begin(), want.text().end());
      }
      EXPECT_LE(failed, 1);
      const EngineStats stats = engine->stats();
      EXPECT_EQ(stats.waiting, 0);
    }
  }
}

// Each of the model's rows, by its definition.
std::vector<float> pooled(const std::vector<int32_t>& prompt, Pooling kind) {
  ToyKnobs knobs;
  ToyModel model(knobs);
  SequenceState states = model.make_states({});
  mx::array rows = model.hidden(std::vector<SequenceInput>{
      {prompt, &states, SequenceInput::Logits::all}});
  rows = mx::contiguous(rows);
  rows.eval();
  Pooler pooler(kind);
  pooler.add(std::span(rows.data<float>(), rows.size()), kHidden);
  return pooler.take();
}

TEST_F(EngineBatchTest, EmbeddingsAreThePooledRowsOfTheirPrompt) {
  start();
  std::vector<GenerateRequest> requests;
  for (const Pooling kind : {Pooling::mean, Pooling::last, Pooling::first}) {
    for (const int length : {1, 31, 90, kContext}) {
      requests.push_back(greedy(prompt(length, length), 0));
      requests.back().embedding = kind;
    }
  }
  // Answers beside them, which share a prompt's beginning.
  requests.push_back(greedy(prompt(90, 90), 20));
  requests.push_back(greedy(prompt(200, 3), 20));
  knobs.delay_us = 200;
  const auto outcomes = together(requests);
  knobs.delay_us = 0;
  for (size_t i = 0; i < requests.size(); ++i) {
    const GenerateRequest& request = requests[i];
    ASSERT_TRUE(outcomes[i].done) << i;
    if (request.embedding) {
      EXPECT_EQ(
          outcomes[i].prefilled->embedding,
          pooled(request.prompt, *request.embedding))
          << i;
      EXPECT_EQ(outcomes[i].ends[0].reason, EngineChoiceEnd::Reason::length);
      EXPECT_EQ(outcomes[i].cached(), 0);
    } else {
      EXPECT_EQ(outcomes[i].tokens, alone(request).tokens) << i;
    }
  }
}

TEST_F(EngineBatchTest, AnEmbeddingSurvivesAStepThatFails) {
  for (int step = 1; step < 12; step += 2) {
    start();
    std::vector<GenerateRequest> requests(2, greedy(prompt(150, step), 0));
    requests[0].embedding = Pooling::mean;
    requests[1] = greedy(prompt(100, step + 50), 10);
    std::list<Collector> collectors;
    knobs.delay_us = 500;
    for (const GenerateRequest& request : requests) {
      engine->submit(request, collectors.emplace_back(1).sink());
    }
    knobs.throw_at = step;
    const Outcome embedded = collectors.front().wait();
    const Outcome answered = collectors.back().wait();
    knobs.throw_at = -1;
    // A step of one request fails that one; one of both fails nobody.
    if (embedded.done) {
      EXPECT_EQ(
          embedded.prefilled->embedding,
          pooled(requests[0].prompt, Pooling::mean));
    }
    EXPECT_TRUE(embedded.done || answered.done);
  }
}

}  // namespace
}  // namespace rapid
