#include "simd/machine_peaks.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>
#include <vector>

#include "base/clock.h"
#include "simd/panel_memory.h"
#include "simd/simd.h"
#include "simd/thread_pool.h"

namespace rapid {

namespace {

constexpr size_t kPiece = size_t{4} << 20;
constexpr int kPieces = 64;
constexpr double kSeconds = 0.2;

// The shortest time of several calls.
template <typename F>
double fastest(F&& call) {
  double best = 1e9;
  double sum = 0;
  for (int i = 0; i < 5 || sum < kSeconds; ++i) {
    const double start = now_seconds();
    call();
    const double took = std::max(now_seconds() - start, 1e-9);
    best = std::min(best, took);
    sum += took;
  }
  return best;
}

// Operations a second of all threads.
double speed_of(ThreadPool& pool, PeakWork work) {
  constexpr int64_t kRounds = 200'000;
  std::array<uint8_t, 768> data = {};
  for (size_t i = 0; i < data.size(); ++i) {
    data[i] = static_cast<uint8_t>(i * 37);
  }
  const int count = pool.threads() * 4;
  std::atomic<int64_t> done = 0;
  const double took = fastest([&] {
    done = 0;
    pool.run(count, 1, [&](int begin, int end) {
      for (int i = begin; i < end; ++i) {
        std::array<float, 12> sink = {};
        done += work(data.data(), kRounds, sink.data());
      }
    });
  });
  return static_cast<double>(done) / took;
}

}  // namespace

double measure_read(int threads) {
  ThreadPool pool(std::max(threads, 1));
  const auto memory = take_panel_memory(kPiece * kPieces);
  pool.run(kPieces, 1, [&](int begin, int end) {
    const auto size = static_cast<size_t>(end - begin) * kPiece;
    std::memset(memory.get() + static_cast<size_t>(begin) * kPiece, 1, size);
  });
  std::atomic<uint64_t> sink = 0;
  const double took = fastest([&] {
    pool.run(kPieces, 1, [&](int begin, int end) {
      sink += kernel_table().read_all(
          memory.get() + static_cast<size_t>(begin) * kPiece,
          static_cast<size_t>(end - begin) * kPiece);
    });
  });
  return static_cast<double>(kPiece * kPieces) / took;
}

MachinePeaks measure_peaks(int threads) {
  MachinePeaks out;
  out.threads = std::max(threads, 1);
  out.read = measure_read(out.threads);
  ThreadPool pool(out.threads);
  out.int8 = speed_of(pool, kernel_table().int8_work);
  out.floats = speed_of(pool, kernel_table().float_work);
  if (const PeakWork work = bfloat_work()) {
    out.bfloat = speed_of(pool, work);
  }
  return out;
}

}  // namespace rapid
