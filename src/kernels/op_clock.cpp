#include "kernels/op_clock.h"

#include <atomic>
#include <mutex>
#include <utility>

#include "base/clock.h"

namespace rapid {

namespace {

std::atomic<bool> runs = false;
std::atomic<uint64_t> all_bytes = 0;
std::atomic<uint64_t> all_operations = 0;

struct Log {
  std::mutex mutex;
  std::vector<OpRecord> records;
};

Log& log() {
  static Log the_log;
  return the_log;
}

}  // namespace

void start_op_clock() {
  const std::lock_guard lock(log().mutex);
  log().records.clear();
  runs = true;
}

std::vector<OpRecord> stop_op_clock() {
  runs = false;
  const std::lock_guard lock(log().mutex);
  return std::exchange(log().records, {});
}

bool op_clock_runs() {
  return runs.load(std::memory_order_relaxed);
}

void count_read(uint64_t bytes, uint64_t operations) {
  if (op_clock_runs()) {
    all_bytes.fetch_add(bytes, std::memory_order_relaxed);
    all_operations.fetch_add(operations, std::memory_order_relaxed);
  }
}

OpRecord begin_op(std::string_view op) {
  return {op, now_seconds(), 0, all_bytes.load(), all_operations.load()};
}

void end_op(OpRecord record) {
  record.seconds = now_seconds() - record.start;
  record.bytes = all_bytes.load() - record.bytes;
  record.operations = all_operations.load() - record.operations;
  const std::lock_guard lock(log().mutex);
  log().records.push_back(record);
}

}  // namespace rapid
