#include "kernels/streams_cpu.h"

#include <algorithm>
#include <cmath>

#include "kernels/cpu_primitive.h"
#include "simd/thread_pool.h"

namespace rapid {

namespace {

float sigmoid(float x) {
  return 1.0f / (1.0f + std::exp(-x));
}

// Rows of one thread's piece: enough work to be worth waking it.
int grain_of(int work) {
  return std::max(1, 8192 / std::max(work, 1));
}

// Each row of `mix` [n, n] to a sum of 1, or each column.
void even_out(float* mix, int n, bool rows, float eps) {
  const int along = rows ? 1 : n;
  const int across = rows ? n : 1;
  for (int i = 0; i < n; ++i) {
    float sum = 0;
    for (int j = 0; j < n; ++j) {
      sum += mix[i * across + j * along];
    }
    for (int j = 0; j < n; ++j) {
      mix[i * across + j * along] /= sum + eps;
    }
  }
}

void softmax(float* x, int n, float eps) {
  const float top = *std::max_element(x, x + n);
  float sum = 0;
  for (int i = 0; i < n; ++i) {
    x[i] = std::exp(x[i] - top);
    sum += x[i];
  }
  for (int i = 0; i < n; ++i) {
    x[i] = x[i] / sum + eps;
  }
}

void gates_of_row(
    const StreamGates& how, const float* mixes, int width, float* out) {
  const int n = how.streams;
  const float* base = how.base.data<float>();
  const float* scale = how.scale.data<float>();
  for (int i = 0; i < n; ++i) {
    out[i] = sigmoid(mixes[i] * scale[0] + base[i]) + how.eps;
  }
  if (width == n) {
    return;
  }
  for (int i = n; i < 2 * n; ++i) {
    out[i] = 2.0f * sigmoid(mixes[i] * scale[1] + base[i]);
  }
  for (int i = 2 * n; i < width; ++i) {
    out[i] = mixes[i] * scale[2] + base[i];
  }
  float* mix = out + 2 * n;
  for (int i = 0; i < n; ++i) {
    softmax(mix + i * n, n, how.eps);
  }
  even_out(mix, n, false, how.eps);
  for (int round = 1; round < how.rounds; ++round) {
    even_out(mix, n, true, how.eps);
    even_out(mix, n, false, how.eps);
  }
}

class RapidStreamGates final : public CpuPrimitive {
 public:
  explicit RapidStreamGates(StreamGatesPtr how) : how_(std::move(how)) {}
  const char* name() const override { return "RapidStreamGates"; }

  CpuWork work(const std::vector<mx::array>& inputs, mx::array& out) override {
    const auto* mixes = rows<float>(inputs[0]);
    float* to = out.data<float>();
    return [=, how = how_, count = out.shape(0), width = out.shape(1)] {
      const int work = width * how->rounds * 8;
      ThreadPool::global().run(count, grain_of(work), [&](int begin, int end) {
        for (auto at = static_cast<size_t>(begin) * width;
             at < static_cast<size_t>(end) * width;
             at += static_cast<size_t>(width)) {
          gates_of_row(*how, mixes + at, width, to + at);
        }
      });
    };
  }

 private:
  StreamGatesPtr how_;
};

// Gates of one row; `said` [K] is scratch.
void map_row(
    const StreamMap& map, const float* routes, float* said, float* out) {
  const int gates = map.weight.shape(0);
  const int count = map.weight.shape(1);
  const float* weight = map.weight.data<float>();
  const float* base = map.base.data<float>();
  for (int i = 0; i < count; ++i) {
    said[i] = std::tanh(routes[i]);
  }
  for (int m = 0; m < gates; ++m, weight += count) {
    float sum = base[m];
    for (int i = 0; i < count; ++i) {
      sum += weight[i] * said[i];
    }
    out[m] = sum;
  }
}

class RapidStreamMap final : public CpuPrimitive {
 public:
  explicit RapidStreamMap(StreamMapPtr map) : map_(std::move(map)) {}
  const char* name() const override { return "RapidStreamMap"; }

  CpuWork work(const std::vector<mx::array>& inputs, mx::array& out) override {
    const auto* routes = rows<float>(inputs[0]);
    float* to = out.data<float>();
    return [=, map = map_, count = out.shape(0)] {
      const int width = map->weight.shape(1);
      const int gates = map->weight.shape(0);
      ThreadPool::global().run(
          count, grain_of(gates * width), [&](int begin, int end) {
            std::vector<float> said(static_cast<size_t>(width));
            for (auto row = static_cast<size_t>(begin);
                 row < static_cast<size_t>(end);
                 ++row) {
              map_row(
                  *map, routes + row * width, said.data(), to + row * gates);
            }
          });
    };
  }

 private:
  StreamMapPtr map_;
};

class RapidStreamRead final : public CpuPrimitive {
 public:
  explicit RapidStreamRead(int streams) : streams_(streams) {}
  const char* name() const override { return "RapidStreamRead"; }

  CpuWork work(const std::vector<mx::array>& inputs, mx::array& out) override {
    const auto* x = rows<float>(inputs[0]);
    const auto* gates = rows<float>(inputs[1]);
    const int stride = inputs[1].shape(1);
    const int width = out.shape(1);
    float* to = out.data<float>();
    return [=, n = streams_, count = out.shape(0)] {
      ThreadPool::global().run(
          count, grain_of(n * width), [&](int begin, int end) {
            for (auto row = static_cast<size_t>(begin);
                 row < static_cast<size_t>(end);
                 ++row) {
              const float* from = x + row * n * width;
              const float* gate = gates + row * stride;
              float* y = to + row * width;
              for (int h = 0; h < width; ++h) {
                y[h] = gate[0] * from[h];
              }
              for (int i = 1; i < n; ++i) {
                from += width;
                for (int h = 0; h < width; ++h) {
                  y[h] += gate[i] * from[h];
                }
              }
            }
          });
    };
  }

 private:
  int streams_;
};

// Stream j of one row.
void write_stream(
    const float* y,
    const float* gates,
    const float* x,
    int n,
    int width,
    int j,
    float* to) {
  for (int h = 0; h < width; ++h) {
    to[h] = gates[n + j] * y[h];
  }
  for (int i = 0; i < n; ++i) {
    const float part = gates[2 * n + i * n + j];
    const float* from = x + static_cast<size_t>(i) * width;
    for (int h = 0; h < width; ++h) {
      to[h] += part * from[h];
    }
  }
}

class RapidStreamWrite final : public CpuPrimitive {
 public:
  explicit RapidStreamWrite(int streams) : streams_(streams) {}
  const char* name() const override { return "RapidStreamWrite"; }

  CpuWork work(const std::vector<mx::array>& inputs, mx::array& out) override {
    const auto* y = rows<float>(inputs[0]);
    const auto* gates = rows<float>(inputs[1]);
    const auto* x = rows<float>(inputs[2]);
    const int width = inputs[0].shape(1);
    float* to = out.data<float>();
    return [=, n = streams_, count = out.shape(0)] {
      ThreadPool::global().run(
          count * n, grain_of(n * width), [&](int begin, int end) {
            for (int item = begin; item < end; ++item) {
              const auto row = static_cast<size_t>(item / n);
              write_stream(
                  y + row * width,
                  gates + row * (2 + n) * n,
                  x + row * n * width,
                  n,
                  width,
                  item % n,
                  to + static_cast<size_t>(item) * width);
            }
          });
    };
  }

 private:
  int streams_;
};

}  // namespace

mx::array stream_gates_cpu(const mx::array& mixes, const StreamGatesPtr& how) {
  return cpu_node(
      mixes.shape(),
      std::make_shared<RapidStreamGates>(how),
      {as_type(mixes, mx::float32)});
}

mx::array stream_map_cpu(const mx::array& routes, const StreamMapPtr& map) {
  return cpu_node(
      {routes.shape(0), map->weight.shape(0)},
      std::make_shared<RapidStreamMap>(map),
      {as_type(routes, mx::float32)});
}

mx::array stream_read_cpu(
    const mx::array& x, const mx::array& gates, int streams) {
  return cpu_node(
      {x.shape(0), x.shape(1) / streams},
      std::make_shared<RapidStreamRead>(streams),
      {as_type(x, mx::float32), as_type(gates, mx::float32)});
}

mx::array stream_write_cpu(
    const mx::array& y,
    const mx::array& gates,
    const mx::array& x,
    int streams) {
  return cpu_node(
      x.shape(),
      std::make_shared<RapidStreamWrite>(streams),
      {as_type(y, mx::float32),
       as_type(gates, mx::float32),
       as_type(x, mx::float32)});
}

}  // namespace rapid
