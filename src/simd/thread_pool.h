// A persistent pool for data-parallel loops inside CPU kernels. No MLX here.
//
// The caller takes part, so `threads` = 2 means one worker. Workers spin for
// about 50 us after a loop, then sleep: an idle process uses no CPU. Loops of
// several callers (engines, MLX's CPU queue) follow each other; a body must not
// throw and not call run().
// Results must not depend on which thread takes which index.
//
//   pool.run(rows, [&](int begin, int end) { ... });
#pragma once

#include <functional>
#include <memory>

namespace rapid {

class ThreadPool {
 public:
  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const;

  // Splits [0, count) into pieces of at least `grain`, each handed to one
  // thread. Returns when all are done.
  void run(int count, int grain, const std::function<void(int, int)>& body);

  // The process's pool. set_global_threads before the first kernel runs;
  // 0 = all cores the process may use.
  static ThreadPool& global();
  static void set_global_threads(int threads);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace rapid
