// What the CPU kernels cost, op by op: for measuring (`bench --roofline`).
// Off, it costs a look at a flag per op. Any thread may note; start and stop
// while no step runs.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace rapid {

struct OpRecord {
  std::string_view op;  // "qkv", "attention", "mlp", "head" ...
  double start = 0;     // now_seconds()
  double seconds = 0;
  uint64_t bytes = 0;       // of weights and of keys and values, as read
  uint64_t operations = 0;  // of products with weights
};

void start_op_clock();
std::vector<OpRecord> stop_op_clock();  // in order
bool op_clock_runs();

// Bytes and operations of the op that runs.
void count_read(uint64_t bytes, uint64_t operations);

// Runs f, and notes it where the clock runs.
template <typename F>
void run_op(std::string_view op, F&& f);

// Two halves of run_op.
OpRecord begin_op(std::string_view op);
void end_op(OpRecord record);

template <typename F>
void run_op(std::string_view op, F&& f) {
  if (!op_clock_runs()) {
    f();
    return;
  }
  const OpRecord begun = begin_op(op);
  f();
  end_op(begun);
}

}  // namespace rapid
