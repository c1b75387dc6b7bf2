#include "advice/cpu_probe.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

#include "base/clock.h"
#include "simd/packed_weight.h"
#include "simd/thread_pool.h"

namespace rapid {
namespace {

// More than a last level cache holds; more of it where many cores have much
// cache of their own.
constexpr uint64_t kLeastBytes = uint64_t{128} << 20;
constexpr uint64_t kBytesPerThread = uint64_t{16} << 20;
constexpr uint64_t kMostBytes = uint64_t{1} << 30;
constexpr int kCols = 1024;
constexpr int kPasses = 3;
constexpr int kParts = 16;
constexpr size_t kSmall = 300 << 10;  // a matrix of a small model
constexpr int kPromptRows = 64;
constexpr size_t kInCache = 384 << 10;
constexpr double kLong = 0.012;  // seconds of each rate of arithmetic
constexpr int kHeadDim = 64;

template <typename F>
double seconds_of(F&& body) {
  const double start = now_seconds();
  body();
  return std::max(now_seconds() - start, 1e-9);
}

// Activations as the kernels take them.
struct Rows {
  std::vector<int8_t> codes = std::vector<int8_t>(kCols, 3);
  std::vector<float> scales = std::vector<float>(kCols / kDotBlock, 0.01f);
  std::vector<int32_t> sums = std::vector<int32_t>(kCols / 16, 48);
  std::vector<QuantisedRow> rows = std::vector<QuantisedRow>(
      kPromptRows, {codes.data(), scales.data(), sums.data()});
};

// Four bits in groups of 64, as most checkpoints have; no value matters.
PackedWeight made_up_weight(ThreadPool& pool, uint64_t bytes) {
  const RowSource like = {
      .cols = kCols,
      .packed = true,
      .scheme = {.bits = 4, .group_size = 64},
      .scale_type = TensorType::bf16};
  const size_t panel =
      allocate_packed(PackedFormat::affine4, like, kPanelRows).panel_bytes;
  PackedWeight out = allocate_packed(
      PackedFormat::affine4,
      like,
      kPanelRows * static_cast<int>(bytes / panel));
  pool.run(out.panels(), 1, [&](int begin, int end) {
    std::memset(
        out.data.get() + static_cast<size_t>(begin) * panel,
        0x3c,
        static_cast<size_t>(end - begin) * panel);
  });
  return out;
}

// One row through panels [first, first + count).
void one_row(
    ThreadPool& pool,
    const PackedWeight& weight,
    const Rows& x,
    int first,
    int count,
    std::vector<float>& out) {
  const int grain = std::max(1, count / (4 * pool.threads()));
  pool.run(count, grain, [&](int begin, int end) {
    kernel_table().packed_dots(
        weight.source(),
        x.rows.data(),
        1,
        first + begin,
        first + end,
        out.data() + static_cast<size_t>(first + begin) * kPanelRows,
        weight.rows);
  });
}

// Seconds of runs of `each` panels, one after the other through the memory:
// of all those the quick ones, which other programs did not disturb.
double quick_run(
    ThreadPool& pool, const PackedWeight& weight, const Rows& x, int each) {
  std::vector<float> out(static_cast<size_t>(weight.rows));
  std::vector<double> took;
  for (int pass = 0; pass < kPasses; ++pass) {
    for (int at = 0; at + each <= weight.panels(); at += each) {
      took.push_back(
          seconds_of([&] { one_row(pool, weight, x, at, each, out); }));
    }
  }
  const auto quarter = static_cast<long>(took.size() / 4);
  std::nth_element(took.begin(), took.begin() + quarter, took.end());
  return took[static_cast<size_t>(quarter)];
}

void probe_reading(ThreadPool& pool, uint64_t memory, CpuSpeed& speed) {
  const auto threads = static_cast<uint64_t>(pool.threads());
  const uint64_t bytes = std::min(
      {std::max(kLeastBytes, threads * kBytesPerThread), kMostBytes, memory});
  const PackedWeight weight = made_up_weight(pool, bytes);
  const Rows x;
  const double panel = static_cast<double>(weight.panel_bytes);
  const int large = std::max(1, weight.panels() / kParts);
  const int small = std::max(1, static_cast<int>(kSmall / panel));
  speed.read = large * panel / quick_run(pool, weight, x, large);
  speed.round_seconds = std::clamp(
      quick_run(pool, weight, x, small) - small * panel / speed.read,
      5e-7,
      5e-5);
}

// Operations a second of `body`, which does `operations` in each of `units`
// that threads share.
template <typename F>
double rate(ThreadPool& pool, double operations, F&& body) {
  double best = 0;
  const double end = now_seconds() + kLong;
  const int units = 4 * pool.threads();
  do {
    const double took = seconds_of([&] { pool.run(units, 1, body); });
    best = std::max(best, operations * units / took);
  } while (now_seconds() < end);
  return best;
}

void probe_arithmetic(ThreadPool& pool, CpuSpeed& speed) {
  const PackedWeight weight = made_up_weight(pool, kInCache);
  const Rows x;
  speed.multiply = rate(
      pool, 2.0 * kPromptRows * weight.rows * kCols, [&](int begin, int end) {
        std::vector<float> out(static_cast<size_t>(weight.rows) * kPromptRows);
        for (int i = begin; i < end; ++i) {
          kernel_table().packed_dots(
              weight.source(),
              x.rows.data(),
              kPromptRows,
              0,
              weight.panels(),
              out.data(),
              weight.rows);
        }
      });
  constexpr int kTiles = 4;
  constexpr int kQueries = 32;
  speed.attend = rate(
      pool,
      4.0 * kTiles * kQueries * kTileKeys * kHeadDim,
      [&](int begin, int end) {
        const std::vector<uint16_t> page(
            static_cast<size_t>(kPageKeys) * kHeadDim, 0x3000);
        const std::vector<float> queries(kQueries * kHeadDim, 0.1f);
        const std::vector<KeyRange> ranges(kQueries, {0, kTileKeys});
        std::vector<float> states(kQueries * (kHeadDim + 2), -1.0f);
        const size_t bytes = attend_floats(kHeadDim) * sizeof(float);
        std::vector<char> room(bytes + 64);
        void* memory = room.data();
        size_t left = room.size();
        std::align(64, bytes, memory, left);
        TilePages<uint16_t> pages;
        std::ranges::fill(pages.keys, page.data());
        std::ranges::fill(pages.values, page.data());
        const TileQuery query = {
            .q = queries.data(),
            .ranges = ranges.data(),
            .rows = kQueries,
            .dim = kHeadDim};
        for (int i = begin * kTiles; i < end * kTiles; ++i) {
          kernel_table().attend_halves(
              query, pages, static_cast<float*>(memory), states.data());
        }
      });
}

}  // namespace

CpuSpeed probe_cpu(int threads, uint64_t memory) {
  CpuSpeed out;
  ThreadPool pool(std::max(threads, 1));
  probe_reading(pool, memory, out);
  probe_arithmetic(pool, out);
  return out;
}

}  // namespace rapid
