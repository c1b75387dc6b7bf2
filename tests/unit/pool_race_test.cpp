// Many threads ask for more models than fit, cancel, load, unload and look.
// What must hold whatever the order: every request that is not cancelled gets
// its own model's answer, shares stay within the limit, nobody is unloaded
// under a request (FakeModel checks that).
#include <random>

#include "pool_fakes.h"

namespace rapid {
namespace {

void ask_at_random(PoolBench& bench, unsigned seed, std::atomic<int>& right) {
  std::mt19937 draw(seed);
  const std::string names[] = {"a", "b", "c"};
  for (int i = 0; i < 60; ++i) {
    const std::string name = names[draw() % 3];
    const std::string text = std::to_string(seed) + "." + std::to_string(i);
    Asked asked(*bench.pool, name, text);
    switch (draw() % 8) {
      case 0:
        asked.cancel();
        continue;
      case 1:
        (void)bench.pool->unload(name, [](const auto&) {});
        break;
      case 2:
        (void)bench.pool->load({.model = name}, [](const auto&) {});
        break;
      case 3:
        (void)bench.pool->list();
        break;
      case 4:
        (void)bench.pool->find(name)->stats();
        break;
      default:
        break;
    }
    ASSERT_TRUE(eventually([&] { return asked.ended(); })) << name << text;
    ASSERT_FALSE(asked.error()) << asked.error()->what;
    ASSERT_EQ(asked.text(), name + ":" + text);
    ++right;
  }
}

void run(bool at_once) {
  PoolBench bench({{"a", 100}, {"b", 100}, {"c", 100}}, 700);
  bench.settings.drain_seconds = 0.005;
  bench.settings.idle_ttl = 0.02;
  bench.models->at_once = at_once;
  bench.start({{"a"}, {"b"}, {"c"}});
  std::atomic<bool> stop = false;
  std::thread answers([&] {
    while (!stop) {
      bench.models->answer_all();
      std::this_thread::yield();
    }
  });
  std::atomic<int> right = 0;
  std::vector<std::thread> threads;
  for (unsigned i = 0; i < 4; ++i) {
    threads.emplace_back([&, i] { ask_at_random(bench, i + 1, right); });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  stop = true;
  answers.join();
  EXPECT_GT(right, 150);
  for (const ModelStatus& status : bench.pool->list()) {
    EXPECT_EQ(status.open_requests, 0);
  }
}

TEST(ModelPoolRaces, AnswersFromOtherThreads) {
  run(false);
}

TEST(ModelPoolRaces, AnswersInsideSubmit) {
  run(true);
}

TEST(ModelPoolRaces, StopUnderLoad) {
  for (int round = 0; round < 20; ++round) {
    PoolBench bench({{"a", 100}, {"b", 100}}, 400);
    bench.settings.drain_seconds = 0.001;
    bench.models->at_once = true;
    bench.start({{"a"}, {"b"}});
    std::vector<std::thread> threads;
    std::atomic<bool> stopped = false;
    for (int i = 0; i < 3; ++i) {
      threads.emplace_back([&, i] {
        while (!stopped) {
          Asked asked(*bench.pool, i % 2 != 0 ? "a" : "b", "x");
          ASSERT_TRUE(eventually([&] { return asked.ended(); }));
          const auto error = asked.error();
          ASSERT_TRUE(!error || error->code == ErrorCode::cancelled);
        }
      });
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
    bench.pool->stop();
    stopped = true;
    for (std::thread& thread : threads) {
      thread.join();
    }
  }
}

}  // namespace
}  // namespace rapid
