// The engine in a process of its own: what a request's sink hears when that
// process dies, hangs or cannot be loaded. The processes are real: this program
// again, with a HashEngine on the other end of the socket.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <thread>

#include "base/clock.h"
#include "base/companion.h"
#include "base/platform.h"
#include "engine/wire.h"
#include "engine/worker_engine.h"
#include "engine/worker_host.h"
#include "hash_engine.h"
#include "temp_folder.h"

namespace rapid {
namespace {

using namespace test;
using Reason = EngineChoiceEnd::Reason;

MemoryFacts a_plan() {
  MemoryFacts out;
  out.limit = 1000;
  out.states.add({2, 300, 64, 128});
  return out;
}

// The model is a file that says how to load.
Result<std::unique_ptr<Engine>> load(const EngineOptions& options) {
  std::ifstream file(options.model_path);
  if (!file) {
    return Error{ErrorCode::not_found, "no file", "", options.model_path};
  }
  const std::string text(std::istreambuf_iterator<char>(file), {});
  if (text == "crash") {
    ::_exit(3);
  }
  if (text == "planned" && options.memory != a_plan()) {
    return Error{ErrorCode::internal, "the plan got lost"};
  }
  while (text == "hang") {
    std::this_thread::sleep_for(std::chrono::seconds(1));
  }
  return std::unique_ptr<Engine>(std::make_unique<HashEngine>(
      std::chrono::microseconds(options.threads), a_plan()));
}

TEST(WorkerChild, DISABLED_Serves) {
  serve_worker({.fd = Companion::kChildFd, .make = load, .pulse = 0.02});
}

struct Heard {
  std::vector<std::vector<int32_t>> tokens;
  std::vector<std::vector<float>> logprobs;
  std::vector<std::pair<Reason, int32_t>> ends;
  int prefilled = 0;
  int progress = 0;
  int generated = -1;
  std::optional<Error> error;

  bool over() const { return generated >= 0 || error; }
  size_t count() const {
    size_t sum = 0;
    for (const auto& each : tokens) {
      sum += each.size();
    }
    return sum;
  }
};

// Checks the order of events on the way.
class Listener {
 public:
  explicit Listener(int choices) {
    heard_.tokens.resize(choices);
    heard_.logprobs.resize(choices);
    heard_.ends.resize(choices, {Reason::length, -2});
  }
  EngineSink sink() {
    return [this](const EngineEvent& event) {
      std::lock_guard lock(mutex_);
      EXPECT_FALSE(heard_.over()) << "an event behind the end";
      std::visit([this](const auto& each) { on(each); }, event);
      changed_.notify_all();
    };
  }
  Heard wait() {
    return wait_until([](const Heard&) { return false; });
  }
  template <typename Condition>
  Heard wait_until(Condition condition) {
    std::unique_lock lock(mutex_);
    EXPECT_TRUE(changed_.wait_for(lock, std::chrono::seconds(30), [&] {
      return heard_.over() || condition(heard_);
    }));
    return heard_;
  }

 private:
  void on(const EngineProgress& event) {
    EXPECT_EQ(heard_.prefilled, 0);
    EXPECT_GT(event.done, heard_.progress);
    heard_.progress = event.done;
  }
  void on(const EnginePrefilled&) { ++heard_.prefilled; }
  void on(const EngineToken& event) {
    EXPECT_EQ(heard_.prefilled, 1);
    EXPECT_EQ(heard_.ends.at(event.choice).second, -2);
    heard_.tokens.at(event.choice).push_back(event.token);
    if (event.logprob) {
      heard_.logprobs.at(event.choice).push_back(*event.logprob->logprob);
    }
  }
  void on(const EngineChoiceEnd& event) {
    EXPECT_EQ(heard_.ends.at(event.choice).second, -2) << "two ends";
    heard_.ends.at(event.choice) = {event.reason, event.end_token};
  }
  void on(const EngineDone& event) { heard_.generated = event.generated; }
  void on(const EngineFailed& event) { heard_.error = event.error; }

  std::mutex mutex_;
  std::condition_variable changed_;
  Heard heard_;
};

Heard undisturbed(const GenerateRequest& request) {
  Listener listener(request.choices);
  const EngineSink sink = listener.sink();
  for (const EngineEvent& event : hash_answer(request)) {
    sink(event);
  }
  return listener.wait();
}

void expect_same(const Heard& got, const Heard& want) {
  EXPECT_FALSE(got.error) << got.error->what;
  EXPECT_EQ(got.prefilled, 1);
  EXPECT_EQ(got.tokens, want.tokens);
  EXPECT_EQ(got.logprobs, want.logprobs);
  EXPECT_EQ(got.ends, want.ends);
  EXPECT_EQ(got.generated, want.generated);
}

GenerateRequest request_of(uint64_t seed, int choices = 1) {
  GenerateRequest out;
  for (int i = 0; i < 20; ++i) {
    out.prompt.push_back(static_cast<int32_t>((seed * 17 + i * 3) % 300));
  }
  out.sampling.seed = seed;
  out.choices = choices;
  out.max_tokens = 60;
  out.logprobs = 0;
  if (seed % 3 == 0) {
    out.grammar = GrammarSource{};
  }
  return out;
}

GenerateRequest troubled(uint64_t seed, int32_t trouble) {
  GenerateRequest out = request_of(seed);
  out.prompt[3] = trouble;
  out.grammar = GrammarSource{};  // it has 24 tokens
  return out;
}

// Its choices are all longer than `least` tokens.
GenerateRequest long_request(int choices, size_t least) {
  GenerateRequest out = request_of(2, choices);
  out.max_tokens = 2000;
  const auto is_long = [&] {
    const Heard heard = undisturbed(out);
    return std::ranges::all_of(heard.tokens, [&](const auto& tokens) {
      return tokens.size() > least;
    });
  };
  while (!is_long()) {
    ++out.sampling.seed;
  }
  return out;
}

class WorkerEngineTest : public ::testing::Test {
 protected:
  void SetUp() override { write("good"); }

  void write(const std::string& text) { std::ofstream(model()) << text; }
  std::string model() const { return (folder.path() / "model").string(); }

  WorkerSettings settings() const {
    WorkerSettings out;
    out.program = program_path();
    out.command = {
        "worker",
        "--gtest_filter=WorkerChild.DISABLED_Serves",
        "--gtest_also_run_disabled_tests",
        "--gtest_brief=1"};
    out.stall_seconds = 20;
    out.first_delay = 0.01;
    out.quit_seconds = 2;
    return out;
  }

  Result<std::unique_ptr<Engine>> start(
      const WorkerSettings& settings, int delay_us = 300) {
    EngineOptions options;
    options.model_path = model();
    options.threads = delay_us;
    return start_worker_engine(options, settings);
  }

  // The worker's process id: the newest child of this process.
  static pid_t worker() {
    const double limit = now_seconds() + 10;
    pid_t out = -1;
    while (out <= 1 && now_seconds() < limit) {
      // Children of other threads are listed with those threads.
      for (const auto& task :
           std::filesystem::directory_iterator("/proc/self/task")) {
        std::ifstream children(task.path() / "children");
        for (pid_t pid = 0; children >> pid;) {
          out = std::max(out, pid);
        }
      }
    }
    return out;
  }

  static void signal_worker(int signal) {
    const pid_t pid = worker();
    ASSERT_GT(pid, 1);
    ASSERT_EQ(::kill(pid, signal), 0);
  }

  static Heard run(Engine& engine, const GenerateRequest& request) {
    Listener listener(request.choices);
    engine.submit(request, listener.sink());
    return listener.wait();
  }

  TempFolder folder;
};

TEST_F(WorkerEngineTest, IsAnEngine) {
  auto engine = start(settings(), 10);
  ASSERT_TRUE(engine) << engine.error().what;
  EXPECT_EQ((*engine)->info().architecture, "hash");
  EXPECT_EQ((*engine)->info().vocabulary, 1000);
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    const auto request = request_of(seed, static_cast<int>(1 + seed % 3));
    expect_same(run(**engine, request), undisturbed(request));
  }
  const EngineStats stats = (*engine)->stats();
  EXPECT_GT(stats.generated_tokens, 10u);
  EXPECT_EQ(stats.restarts, 0u);
  EXPECT_EQ(stats.running + stats.waiting, 0);
}

TEST_F(WorkerEngineTest, OpenRequestsOutliveTheirWorker) {
  auto engine = start(settings());
  ASSERT_TRUE(engine);
  constexpr int kRounds = 6;
  std::mt19937 random(1);
  uint64_t before = 0;
  for (int round = 0; round < kRounds; ++round) {
    std::vector<std::unique_ptr<Listener>> listeners;
    std::vector<GenerateRequest> requests;
    for (int i = 0; i < 5; ++i) {
      requests.push_back(request_of(round * 10 + i, 1 + i % 3));
      requests.back().max_tokens = 300;
      listeners.push_back(std::make_unique<Listener>(requests[i].choices));
      (*engine)->submit(requests[i], listeners[i]->sink());
    }
    // Two deaths of each round, in its middle; tokens come in between.
    for (int death = 0; death < 2; ++death) {
      const size_t tokens = 1 + random() % 8;
      for (auto& listener : listeners) {
        const size_t seen =
            listener->wait_until([](const Heard&) { return true; }).count();
        listener->wait_until(
            [&](const Heard& heard) { return heard.count() >= seen + tokens; });
      }
      signal_worker(SIGKILL);
    }
    for (int i = 0; i < 5; ++i) {
      expect_same(listeners[i]->wait(), undisturbed(requests[i]));
    }
    const uint64_t now = (*engine)->stats().generated_tokens;
    EXPECT_GT(now, before);
    before = now;
  }
  const uint64_t restarts = (*engine)->stats().restarts;
  EXPECT_GE(restarts, 1u * kRounds);
  EXPECT_LE(restarts, 2u * kRounds);
}

TEST_F(WorkerEngineTest, CancelsReachWhatWasResumed) {
  auto engine = start(settings());
  ASSERT_TRUE(engine);
  const auto request = long_request(3, 300);
  const auto want = undisturbed(request);
  Listener listener(3);
  const RequestId id = (*engine)->submit(request, listener.sink());
  listener.wait_until([](const Heard& heard) { return heard.count() >= 9; });
  signal_worker(SIGKILL);
  (*engine)->cancel(id, 1);  // while nobody is there
  const auto first = listener.wait_until([](const Heard& heard) {
    return heard.ends[1].second != -2 && heard.tokens[0].size() > 30;
  });
  EXPECT_EQ(first.ends[1].first, Reason::cancelled);
  EXPECT_LT(first.tokens[1].size(), 100u);
  (*engine)->cancel(id, 2);
  listener.wait_until(
      [](const Heard& heard) { return heard.ends[2].second != -2; });
  (*engine)->cancel(id);
  const auto heard = listener.wait();
  EXPECT_FALSE(heard.error);
  for (int c = 0; c < 3; ++c) {
    EXPECT_EQ(heard.ends[c].first, Reason::cancelled);
    EXPECT_TRUE(std::equal(
        heard.tokens[c].begin(), heard.tokens[c].end(), want.tokens[c].begin()))
        << c;
  }
  EXPECT_EQ(heard.generated, static_cast<int>(heard.count()));
}

TEST_F(WorkerEngineTest, AWorkerThatDiesInTheMiddleOfAnAnswer) {
  auto engine = start(settings());
  ASSERT_TRUE(engine);
  const auto request = troubled(4, Trouble::kDiesOnceAtFive);
  expect_same(run(**engine, request), undisturbed(request));
  EXPECT_EQ((*engine)->stats().restarts, 1u);
}

TEST_F(WorkerEngineTest, OnlyTheGuiltyIsQuarantined) {
  for (const int32_t trouble : {Trouble::kDiesAtOnce, Trouble::kDiesAtFive}) {
    auto engine = start(settings());
    ASSERT_TRUE(engine);
    std::vector<std::unique_ptr<Listener>> listeners;
    std::vector<GenerateRequest> requests;
    for (int i = 0; i < 8; ++i) {
      requests.push_back(
          i == 3 ? troubled(40, trouble) : request_of(60 + i, 1 + i % 2));
      listeners.push_back(std::make_unique<Listener>(requests[i].choices));
      (*engine)->submit(requests[i], listeners[i]->sink());
    }
    for (int i = 0; i < 8; ++i) {
      const auto heard = listeners[i]->wait();
      if (i != 3) {
        expect_same(heard, undisturbed(requests[i]));
        continue;
      }
      ASSERT_TRUE(heard.error);
      EXPECT_EQ(heard.error->code, ErrorCode::internal);
      EXPECT_EQ(heard.error->what, "the request stopped the engine twice");
      EXPECT_FALSE(heard.error->hint.empty());
      EXPECT_EQ(heard.count(), trouble == Trouble::kDiesAtOnce ? 0u : 5u);
    }
    // The same again is refused without a try, whatever its seed, lane and
    // origin.
    const uint64_t restarts = (*engine)->stats().restarts;
    EXPECT_GE(restarts, 2u);
    auto again = requests[3];
    again.sampling.seed = 12345;
    again.lane = "somebody";
    again.origin = 77;
    EXPECT_TRUE(run(**engine, again).error);
    again.max_tokens = 4;  // another request, that ends before
    if (trouble == Trouble::kDiesAtFive) {
      expect_same(run(**engine, again), undisturbed(again));
    }
    EXPECT_EQ((*engine)->stats().restarts, restarts);
  }
}

// Somebody kills a worker again and again before it gets anywhere.
TEST_F(WorkerEngineTest, ASigkillFromOutsideProvesLittle) {
  auto engine = start(settings(), 100000);  // 0.1 s an event
  ASSERT_TRUE(engine);
  const auto kill_once = [&] {
    const uint64_t before = (*engine)->stats().restarts;
    const double limit = now_seconds() + 10;
    while ((*engine)->stats().running == 0 && now_seconds() < limit) {
    }
    signal_worker(SIGKILL);
    while ((*engine)->stats().restarts == before && now_seconds() < limit) {
    }
  };
  const auto request = troubled(4, 1);
  {
    Listener listener(1);
    const RequestId id = (*engine)->submit(request, listener.sink());
    for (int kill = 0; kill < 4; ++kill) {
      kill_once();
    }
    const auto heard = listener.wait_until(
        [](const Heard& heard) { return heard.count() >= 1; });
    EXPECT_FALSE(heard.error);
    (*engine)->cancel(id);
    EXPECT_FALSE(listener.wait().error);
  }
  // A busy machine may let an event through between two kills, which starts
  // the count again.
  Listener listener(1);
  (*engine)->submit(request, listener.sink());
  const auto now = [&] {
    return listener.wait_until([](const Heard&) { return true; });
  };
  for (int kill = 0; kill < 100 && !now().error; ++kill) {
    kill_once();
  }
  const auto heard = listener.wait();
  ASSERT_TRUE(heard.error);
  EXPECT_EQ(heard.error->what, "the request stopped the engine twice");
}

TEST_F(WorkerEngineTest, AWorkerWithoutProgressIsReplaced) {
  auto patience = settings();
  patience.stall_seconds = 0.5;
  auto engine = start(patience);
  ASSERT_TRUE(engine);
  // It says itself that nothing goes on.
  const auto hangs = troubled(7, Trouble::kHangsOnceAtFive);
  expect_same(run(**engine, hangs), undisturbed(hangs));
  EXPECT_EQ((*engine)->stats().restarts, 1u);
  // It says nothing any more.
  const auto request = long_request(2, 300);
  Listener listener(2);
  (*engine)->submit(request, listener.sink());
  listener.wait_until([](const Heard& heard) { return heard.count() >= 4; });
  signal_worker(SIGSTOP);
  expect_same(listener.wait(), undisturbed(request));
  EXPECT_EQ((*engine)->stats().restarts, 2u);
  // One that has nothing to do may be silent.
  std::this_thread::sleep_for(std::chrono::milliseconds(800));
  EXPECT_EQ((*engine)->stats().restarts, 2u);
}

// What a load measures of its memory differs a little from time to time.
TEST_F(WorkerEngineTest, TheNextWorkerKeepsToThePlanOfTheFirst) {
  auto engine = start(settings(), 10);
  ASSERT_TRUE(engine);
  EXPECT_EQ((*engine)->info().memory, a_plan());
  write("planned");
  signal_worker(SIGKILL);
  const auto request = long_request(1, 20);
  expect_same(run(**engine, request), undisturbed(request));
}

TEST_F(WorkerEngineTest, TheFirstLoadSaysWhatIsWrong) {
  write("crash");
  const auto crashed = start(settings());
  ASSERT_FALSE(crashed);
  EXPECT_THAT(crashed.error().what, testing::HasSubstr("exit status 3"));
  write("hang");
  auto hasty = settings();
  hasty.load_seconds = 0.3;
  const auto hung = start(hasty);
  ASSERT_FALSE(hung);
  EXPECT_THAT(hung.error().what, testing::HasSubstr("0.3 seconds"));
  std::filesystem::remove(model());
  const auto absent = start(settings());
  ASSERT_FALSE(absent);
  EXPECT_EQ(absent.error().code, ErrorCode::not_found);
  EXPECT_EQ(absent.error().param, model());
  auto nobody = settings();
  nobody.program = model();
  EXPECT_EQ(start(nobody).error().code, ErrorCode::io);
}

TEST_F(WorkerEngineTest, WhatCannotBeLoadedAgainFailsRequestsUntilItCan) {
  auto engine = start(settings());
  ASSERT_TRUE(engine);
  const auto request = long_request(1, 300);
  Listener listener(1);
  (*engine)->submit(request, listener.sink());
  listener.wait_until([](const Heard& heard) { return heard.count() >= 2; });
  std::filesystem::remove(model());
  signal_worker(SIGKILL);
  const auto failed = listener.wait();
  ASSERT_TRUE(failed.error);
  EXPECT_EQ(failed.error->code, ErrorCode::not_found);
  EXPECT_EQ((*engine)->stats().trouble, "no file");
  // Later ones try again, not too often.
  write("good");
  const auto limit = now_seconds() + 20;
  Heard heard;
  do {
    heard = run(**engine, request);
  } while (heard.error && now_seconds() < limit);
  expect_same(heard, undisturbed(request));
  EXPECT_EQ((*engine)->stats().trouble, "");
}

TEST_F(WorkerEngineTest, EndsWithItsWorker) {
  auto engine = start(settings());
  ASSERT_TRUE(engine);
  const auto request = long_request(1, 300);
  Listener listener(1);
  (*engine)->submit(request, listener.sink());
  listener.wait_until([](const Heard& heard) { return heard.count() >= 1; });
  const pid_t pid = worker();
  engine->reset();
  EXPECT_EQ(listener.wait().error->code, ErrorCode::cancelled);
  EXPECT_NE(::kill(pid, 0), 0);
}

// The front's death closes the socket; a step that never ends is cut off.
TEST_F(WorkerEngineTest, AStuckWorkerEndsWithItsFront) {
  auto child = Companion::spawn(settings().program, settings().command);
  ASSERT_TRUE(child);
  EngineOptions options;
  options.model_path = model();
  options.threads = 10;
  const std::string bytes =
      encode(WireHello{kWireVersion, options}) +
      encode(WireSubmit{1, troubled(1, Trouble::kHangsOnceAtFive)});
  ASSERT_EQ(send_quietly(child->fd(), bytes), static_cast<long>(bytes.size()));
  std::this_thread::sleep_for(std::chrono::milliseconds(500));
  const double begin = now_seconds();
  child->kill(5);
  EXPECT_EQ(child->exit_reason(), "exit status 1");
  EXPECT_LT(now_seconds() - begin, 5);
  // While it loads it has nothing to lose and does not wait for the grace.
  write("hang");
  auto loading = Companion::spawn(settings().program, settings().command);
  ASSERT_TRUE(loading);
  send_quietly(loading->fd(), encode(WireHello{kWireVersion, options}));
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  const double then = now_seconds();
  loading->kill(5);
  EXPECT_EQ(loading->exit_reason(), "exit status 1");
  EXPECT_LT(now_seconds() - then, WorkerHostOptions().grace);
}

}  // namespace
}  // namespace rapid
