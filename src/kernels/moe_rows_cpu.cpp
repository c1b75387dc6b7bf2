#include <algorithm>
#include <cmath>

#include "kernels/moe_call_cpu.h"
#include "simd/simd.h"

namespace rapid {

namespace {

using Call = ExpertCall;

// Two panels make a block of the inner rows' quantisation.
constexpr int kPairRows = 2 * kPanelRows;
static_assert(kPairRows == kDotBlock);
constexpr int kDownPanels = 16;  // whose sums fit the cache

// One expert and the rows that meet it.
struct Group {
  std::optional<ExpertMatrix> gate;
  ExpertMatrix up;
  ExpertMatrix down;
  const int* rows = nullptr;
  const float* weights = nullptr;  // of the rows
  int count = 0;
  RowBuffer* inner = nullptr;
  int inner_first = 0;  // its first row there
  int first_item = 0;   // among the pairs of columns of all groups

  int pairs() const { return (up.rows + kPairRows - 1) / kPairRows; }
};

ThreadPool& pool() {
  return ThreadPool::global();
}

// Rows `rows` of `in`, for one product.
ActivationRows gather(
    Scratch& scratch,
    const ActivationRows& in,
    int cols,
    const int* rows,
    int count,
    bool packed) {
  ActivationRows out;
  out.count = count;
  if (packed) {
    auto* to = scratch.take<QuantisedRow>(static_cast<size_t>(count));
    for (int i = 0; i < count; ++i) {
      to[i] = in.quantised[rows[i]];
    }
    out.quantised = to;
    return out;
  }
  auto* to = scratch.take<float>(static_cast<size_t>(count) * cols);
  for (int i = 0; i < count; ++i) {
    std::copy_n(
        in.values + static_cast<size_t>(rows[i]) * cols,
        cols,
        to + static_cast<size_t>(i) * cols);
  }
  out.values = to;
  return out;
}

void activate(const ExpertActivation& a, float* gate, float* up, int64_t size) {
  const KernelTable& table = kernel_table();
  switch (a.kind) {
    case Gating::silu:
      table.silu(gate, up, size, up);
      return;
    case Gating::gelu_tanh:
      table.gelu(gate, up, size, up);
      return;
    case Gating::squared_relu_up:
      for (int64_t i = 0; i < size; ++i) {
        const float positive = std::max(up[i], 0.0f);
        up[i] = positive * positive;
      }
      return;
    case Gating::limited_silu:
      for (int64_t i = 0; i < size; ++i) {
        gate[i] = std::min(gate[i], a.limit);
        up[i] = std::clamp(up[i], -a.limit, a.limit);
      }
      table.silu(gate, up, size, up);
      return;
    case Gating::clamped_silu:
      break;
  }
  // g sigmoid(alpha g) (u + 1) = silu(alpha g) ((u + 1) / alpha)
  for (int64_t i = 0; i < size; ++i) {
    gate[i] = std::min(gate[i], a.limit) * a.alpha;
    up[i] = (std::clamp(up[i], -a.limit, a.limit) + 1.0f) / a.alpha;
  }
  table.silu(gate, up, size, up);
}

// Columns of `pair` of gate and up for the group's rows, activated, into its
// inner rows.
void run_pair(
    const Call& call, const Group& group, const ActivationRows& in, int pair) {
  const int column = pair * kPairRows;
  const int width = std::min(kPairRows, group.up.rows - column);
  const int first = 2 * pair;
  const int last = std::min(first + 2, group.up.panels());
  for (int at = 0; at < group.count; at += kTileRows) {
    const int count = std::min(kTileRows, group.count - at);
    Scratch scratch;
    const auto size = static_cast<size_t>(count) * kPairRows;
    const auto product = [&](const ExpertMatrix& w) {
      const ActivationRows x = gather(
          scratch, in, call.cols, group.rows + at, count, w.all.packed());
      auto* y = scratch.take<float>(size);
      if (width < kPairRows) {
        std::fill_n(y, size, 0.0f);
      }
      w.multiply(x, first, last, y, kPairRows);
      const float* bias = w.bias ? w.bias + column : nullptr;
      add_columns(y, bias, nullptr, count, kPairRows, width);
      return y;
    };
    float* gate = group.gate ? product(*group.gate) : nullptr;
    float* up = product(group.up);
    activate(call.moe->activation, gate, up, static_cast<int64_t>(size));
    for (int m = 0; m < count; ++m) {
      const float* row = up + static_cast<size_t>(m) * kPairRows;
      const int to = group.inner_first + at + m;
      if (group.inner->codes()) {
        group.inner->set_block(to, column, row);
      } else {
        group.inner->set_part(to, column, row, width);
      }
    }
  }
}

// All pairs of columns of all experts, shared out over the threads.
void run_pairs(
    const Call& call, std::vector<Group>& groups, const ActivationRows& in) {
  int items = 0;
  int rows = 0;
  for (Group& group : groups) {
    group.first_item = items;
    items += group.pairs();
    rows += group.count;
  }
  rows = std::max(1, rows / static_cast<int>(groups.size()));
  const int grain = std::max(1, panel_grain(call.cols, rows) / 4);
  pool().run(items, grain, [&](int begin, int end) {
    auto group = std::upper_bound(
        groups.begin(), groups.end(), begin, [](int item, const Group& g) {
          return item < g.first_item;
        });
    --group;
    for (int item = begin; item < end; ++item) {
      if (item == group->first_item + group->pairs()) {
        ++group;
      }
      run_pair(call, *group, in, item - group->first_item);
    }
  });
}

// out[row][columns] += weight (down(inner) + bias) for a few panels.
void add_down(const Call& call, const Group& group, int begin, int end) {
  const int column = begin * kPanelRows;
  const int width = std::min(end * kPanelRows, call.width) - column;
  constexpr int kStride = kDownPanels * kPanelRows;
  const ActivationRows all = group.inner->view();
  for (int at = 0; at < group.count; at += kTileRows) {
    const int count = std::min(kTileRows, group.count - at);
    const auto first = static_cast<size_t>(group.inner_first + at);
    ActivationRows x;
    x.count = count;
    x.values = all.values ? all.values + first * group.up.rows : nullptr;
    x.quantised = all.quantised ? all.quantised + first : nullptr;
    Scratch scratch;
    auto* y = scratch.take<float>(static_cast<size_t>(count) * kStride);
    group.down.multiply(x, begin, end, y, kStride);
    const float* bias = group.down.bias ? group.down.bias + column : nullptr;
    add_columns(y, bias, nullptr, count, kStride, width);
    for (int m = 0; m < count; ++m, y += kStride) {
      const auto row = static_cast<size_t>(group.rows[at + m]);
      float* to = call.out + row * call.width + column;
      const float weight = group.weights[at + m];
      for (int c = 0; c < width; ++c) {
        to[c] += weight * y[c];
      }
    }
  }
}

// Panels [begin, end), at most kDownPanels, of all rows.
void run_down_panels(
    const Call& call,
    const std::vector<Group>& groups,
    int count,
    int begin,
    int end) {
  const int column = begin * kPanelRows;
  const int width = std::min(end * kPanelRows, call.width) - column;
  float* out = call.out + column;
  for (int m = 0; m < count; ++m) {
    std::fill_n(out + static_cast<size_t>(m) * call.width, width, 0.0f);
  }
  for (const Group& group : groups) {
    add_down(call, group, begin, end);
  }
  if (!call.moe->after && call.residual) {
    add_columns(out, nullptr, call.residual + column, count, call.width, width);
  }
}

void run_down(const Call& call, const std::vector<Group>& groups, int count) {
  const int panels = (call.width + kPanelRows - 1) / kPanelRows;
  int products = 0;
  for (const Group& group : groups) {
    products += group.count;
  }
  const int grain = panel_grain(groups.front().up.rows, products);
  pool().run(panels, grain, [&](int from, int to) {
    for (int begin = from; begin < to; begin += kDownPanels) {
      const int end = std::min(begin + kDownPanels, to);
      run_down_panels(call, groups, count, begin, end);
    }
  });
  if (!call.moe->after) {
    return;
  }
  pool().run(count, 4, [&](int begin, int end) {
    for (int m = begin; m < end; ++m) {
      const size_t at = static_cast<size_t>(m) * call.width;
      finish_row(
          call.out + at,
          *call.moe->after,
          call.residual ? call.residual + at : nullptr,
          call.width);
    }
  });
}

void add_experts(
    std::vector<Group>& groups,
    const MixtureOfExperts& moe,
    const SortedRows& sorted,
    RowBuffer& inner) {
  for (int e = 0; e < moe.experts; ++e) {
    const int first = sorted.starts[e];
    const int count = sorted.starts[e + 1] - first;
    if (count == 0) {
      continue;
    }
    Group group{
        .gate = std::nullopt,
        .up = matrix_of(moe.up, e),
        .down = matrix_of(moe.down, e),
        .rows = sorted.rows + first,
        .weights = sorted.weights + first,
        .count = count,
        .inner = &inner,
        .inner_first = first};
    if (moe.gate) {
      group.gate = matrix_of(*moe.gate, e);
    }
    groups.push_back(group);
  }
}

void add_shared(
    std::vector<Group>& groups,
    Scratch& scratch,
    const SharedExpert& shared,
    const ActivationRows& in,
    RowBuffer& inner) {
  const auto count = static_cast<size_t>(in.count);
  auto* rows = scratch.take<int>(count);
  auto* weights = scratch.take<float>(count);
  const float* gate =
      shared.weight ? product_of_rows(scratch, *shared.weight, in) : nullptr;
  for (size_t m = 0; m < count; ++m) {
    rows[m] = static_cast<int>(m);
    const float weight = gate ? 1.0f / (1.0f + std::exp(-gate[m])) : 1.0f;
    weights[m] = weight * shared.scale;
  }
  Group group{
      .gate = std::nullopt,
      .up = matrix_of(shared.up),
      .down = matrix_of(shared.down),
      .rows = rows,
      .weights = weights,
      .count = in.count,
      .inner = &inner};
  if (shared.gate) {
    group.gate = matrix_of(*shared.gate);
  }
  groups.push_back(group);
}

bool any_packed(const MixtureOfExperts& moe) {
  const auto packed = [](const ExpertBank& bank) {
    return is_packed(*bank.weights.front());
  };
  return packed(moe.up) || (moe.gate && packed(*moe.gate)) ||
         (moe.shared &&
          (is_packed(*moe.shared->up.weight) ||
           (moe.shared->gate && is_packed(*moe.shared->gate->weight))));
}

}  // namespace

void run_experts(const ExpertCall& call, int count) {
  const MixtureOfExperts& moe = *call.moe;
  Scratch scratch;
  // The router wants floats in any case.
  RowBuffer in(scratch, count, call.cols, true, any_packed(moe));
  pool().run(count, 4, [&](int begin, int end) {
    for (int m = begin; m < end; ++m) {
      in.set(
          m,
          call.x + static_cast<size_t>(m) * call.cols,
          moe.before ? &*moe.before : nullptr);
    }
  });
  const ActivationRows rows = in.view();
  const SortedRows sorted = sort_rows(scratch, call, rows);
  const bool packed = is_packed(*moe.down.weights.front());
  RowBuffer inner(
      scratch, count * moe.router.top_k, moe.up.rows, !packed, packed);
  std::vector<Group> groups;
  add_experts(groups, moe, sorted, inner);
  std::optional<RowBuffer> shared_inner;
  if (moe.shared) {
    const Weight& down = *moe.shared->down.weight;
    const bool codes = is_packed(down);
    shared_inner.emplace(
        scratch, count, static_cast<int>(down.cols), !codes, codes);
    add_shared(groups, scratch, *moe.shared, rows, *shared_inner);
  }
  run_pairs(call, groups, rows);
  run_down(call, groups, count);
}

}  // namespace rapid
