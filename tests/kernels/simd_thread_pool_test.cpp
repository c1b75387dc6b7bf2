// Every index once, whatever the threads, and nobody left behind.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <random>
#include <thread>
#include <vector>

#include "simd/thread_pool.h"

namespace rapid {
namespace {

TEST(ThreadPool, TakesEveryIndexOnce) {
  std::mt19937 random(5);
  for (const int threads : {1, 2, 3, 8}) {
    ThreadPool pool(threads);
    EXPECT_EQ(pool.threads(), threads);
    for (int loop = 0; loop < 300; ++loop) {
      const int count = static_cast<int>(random() % 500);
      const int grain = static_cast<int>(random() % 20) + 1;
      // Plain ints: a worker that is late or double would be a data race.
      std::vector<int> taken(static_cast<size_t>(count));
      pool.run(count, grain, [&](int begin, int end) {
        for (int i = begin; i < end; ++i) {
          ++taken[static_cast<size_t>(i)];
        }
      });
      for (const int times : taken) {
        ASSERT_EQ(times, 1);
      }
    }
  }
}

TEST(ThreadPool, WakesSleepers) {
  ThreadPool pool(2);
  for (int loop = 0; loop < 5; ++loop) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));  // they sleep
    std::atomic<int> sum = 0;
    pool.run(64, 1, [&](int begin, int end) { sum += end - begin; });
    EXPECT_EQ(sum, 64);
  }
}

TEST(ThreadPool, LoopsOfSeveralCallersFollowEachOther) {
  ThreadPool pool(2);
  std::vector<int> sums(3);
  std::vector<std::thread> callers;
  for (int& sum : sums) {
    callers.emplace_back([&pool, &sum] {
      for (int loop = 0; loop < 200; ++loop) {
        std::atomic<int> taken = 0;
        pool.run(40, 1, [&](int begin, int end) { taken += end - begin; });
        sum += taken;
      }
    });
  }
  for (std::thread& caller : callers) {
    caller.join();
  }
  EXPECT_EQ(sums, std::vector<int>(3, 200 * 40));
}

TEST(ThreadPool, EndsWithoutWork) {
  const ThreadPool pool(4);
  EXPECT_EQ(pool.threads(), 4);
}

}  // namespace
}  // namespace rapid
