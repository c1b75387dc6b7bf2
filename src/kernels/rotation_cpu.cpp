#include "kernels/rotation_cpu.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "simd/thread_pool.h"

namespace rapid {

namespace {

struct Table {
  std::vector<float> frequencies;
  std::vector<int32_t> positions;
  std::vector<float> values;
};

}  // namespace

const float* rotation_table(
    const std::vector<float>& frequencies, std::span<const int32_t> positions) {
  thread_local std::array<Table, 4> kept;
  thread_local size_t next = 0;
  for (const Table& t : kept) {
    if (t.frequencies == frequencies &&
        std::ranges::equal(t.positions, positions)) {
      return t.values.data();
    }
  }
  Table& t = kept[next++ % kept.size()];
  t.frequencies = frequencies;
  t.positions.assign(positions.begin(), positions.end());
  const size_t pairs = frequencies.size();
  t.values.resize(positions.size() * 2 * pairs);
  const auto rows = static_cast<int>(positions.size());
  ThreadPool::global().run(rows, 32, [&](int begin, int end) {
    for (int row = begin; row < end; ++row) {
      const auto at = static_cast<size_t>(row);
      float* to = t.values.data() + at * 2 * pairs;
      for (size_t i = 0; i < pairs; ++i) {
        const float angle = static_cast<float>(positions[at]) * frequencies[i];
        to[i] = std::cos(angle);
        to[pairs + i] = std::sin(angle);
      }
    }
  });
  return t.values.data();
}

void rotate(float* x, const float* turn, int pairs, bool interleaved) {
  const int step = interleaved ? 2 : 1;
  const int apart = interleaved ? 1 : pairs;
  for (int i = 0; i < pairs; ++i) {
    const float a = x[i * step];
    const float b = x[i * step + apart];
    x[i * step] = a * turn[i] - b * turn[pairs + i];
    x[i * step + apart] = a * turn[pairs + i] + b * turn[i];
  }
}

}  // namespace rapid
