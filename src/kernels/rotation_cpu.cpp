#include "kernels/rotation_cpu.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "simd/thread_pool.h"

namespace rapid {

namespace {

struct Table {
  std::vector<float> frequencies;
  float amplitude = 1.0f;
  std::vector<int32_t> positions;
  std::vector<float> values;
};

}  // namespace

const float* rotation_table(
    const std::vector<float>& frequencies,
    float amplitude,
    std::span<const int32_t> positions) {
  thread_local std::array<Table, 4> kept;
  thread_local size_t next = 0;
  for (const Table& t : kept) {
    if (t.frequencies == frequencies && t.amplitude == amplitude &&
        std::ranges::equal(t.positions, positions)) {
      return t.values.data();
    }
  }
  Table& t = kept[next++ % kept.size()];
  t.frequencies = frequencies;
  t.amplitude = amplitude;
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
        to[i] = amplitude * std::cos(angle);
        to[pairs + i] = amplitude * std::sin(angle);
      }
    }
  });
  return t.values.data();
}

void rotate(float* x, const float* turn, int pairs, bool interleaved) {
  const float* cosines = turn;
  const float* sines = turn + pairs;
  if (!interleaved) {  // a loop of its own, as the compiler makes it vectors
    float* y = x + pairs;
    for (int i = 0; i < pairs; ++i) {
      const float a = x[i];
      const float b = y[i];
      x[i] = a * cosines[i] - b * sines[i];
      y[i] = a * sines[i] + b * cosines[i];
    }
    return;
  }
  for (int i = 0; i < pairs; ++i) {
    const float a = x[2 * i];
    const float b = x[2 * i + 1];
    x[2 * i] = a * cosines[i] - b * sines[i];
    x[2 * i + 1] = a * sines[i] + b * cosines[i];
  }
}

}  // namespace rapid
