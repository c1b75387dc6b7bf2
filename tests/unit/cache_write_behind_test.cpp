// Writes on a thread of their own: their order, who waits, and the end.
#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <memory>
#include <thread>
#include <vector>

#include "cache/write_behind.h"

namespace rapid {
namespace {

TEST(WriteBehindTest, WritesComeInOrderAndReadersSeeThem) {
  WriteBehind writes;
  std::vector<int> seen;
  for (int i = 0; i < 1000; ++i) {
    writes.push([&seen, i] { seen.push_back(i); });
    if (i % 100 == 0) {
      writes.wait();
      ASSERT_EQ(seen.size(), static_cast<size_t>(i) + 1);
    }
  }
  writes.wait();
  for (int i = 0; i < 1000; ++i) {
    EXPECT_EQ(seen[i], i);
  }
}

TEST(WriteBehindTest, ASlowDiskHoldsNobodyUpUntilTooMuchWaits) {
  std::promise<void> disk;
  std::atomic<int> done = 0;
  std::atomic<bool> all = false;
  std::thread pusher;
  {
    WriteBehind writes;
    writes.push([ready = disk.get_future().share()] { ready.wait(); });
    for (size_t i = 1; i < WriteBehind::kMost; ++i) {
      writes.push([&] { ++done; });  // at once: nothing is written yet
    }
    EXPECT_EQ(done, 0);
    pusher = std::thread([&] {
      for (int i = 0; i < 10; ++i) {
        writes.push([&] { ++done; });
      }
      all = true;
    });
    disk.set_value();
    pusher.join();
    EXPECT_TRUE(all);
  }  // what is left is written
  EXPECT_EQ(done, static_cast<int>(WriteBehind::kMost) - 1 + 10);
}

TEST(WriteBehindTest, NothingToWriteNeedsNoThread) {
  WriteBehind writes;
  writes.wait();
}

}  // namespace
}  // namespace rapid
