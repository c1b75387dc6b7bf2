#include <gtest/gtest.h>

#include <thread>

#include "base/queue.h"

namespace rapid {
namespace {

TEST(Queue, HandsOverEverythingThenEnds) {
  Queue<int> queue;
  int sum = 0;
  std::thread reader([&] {
    while (auto item = queue.pop()) {
      sum += *item;
    }
  });
  for (int i = 1; i <= 1000; ++i) {
    queue.push(i);
  }
  queue.close();
  reader.join();
  EXPECT_EQ(sum, 500500);
  EXPECT_FALSE(queue.push(1));
}

}  // namespace
}  // namespace rapid
