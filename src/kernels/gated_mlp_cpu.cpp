#include "kernels/gated_mlp_cpu.h"

#include "kernels/cpu_primitive.h"
#include "kernels/cpu_rows.h"
#include "kernels/low_rank_cpu.h"
#include "simd/simd.h"

namespace rapid {

namespace {

const float* bias_of(const Linear& linear) {
  return linear.bias ? linear.bias->data<float>() : nullptr;
}

struct Call {
  const GatedMlp* mlp = nullptr;
  CpuMatrix gate, up, down;
  std::vector<AdaptedRows> adapted;
  const float* x = nullptr;
  const float* residual = nullptr;
  float* out = nullptr;

  explicit Call(const GatedMlp& m)
      : mlp(&m), gate(*m.gate.weight), up(*m.up.weight), down(*m.down.weight) {}
};

// What adapters add to the rows of a block.
struct Lows {
  LowRankBlock gate, up, down;

  Lows(const Call& call, Scratch& scratch, int first, int count)
      : gate(scratch, call.adapted, *call.mlp->gate.weight, first, count),
        up(scratch, call.adapted, *call.mlp->up.weight, first, count),
        down(scratch, call.adapted, *call.mlp->down.weight, first, count) {}
};

// Two panels make a block of the inner rows' quantisation.
constexpr int kPairRows = 2 * kPanelRows;
static_assert(kPairRows == kDotBlock);

// Columns of `pair` of gate and up for all rows, activated, into `inner`.
void run_pair(
    const Call& call,
    const Lows& lows,
    const ActivationRows& x,
    int pair,
    RowBuffer& inner) {
  const KernelTable& table = kernel_table();
  const int column = pair * kPairRows;
  const int width = std::min(kPairRows, call.gate.rows() - column);
  const int first = 2 * pair;
  const int last = std::min(first + 2, call.gate.panels());
  Scratch scratch;
  const auto size = static_cast<size_t>(x.count) * kPairRows;
  auto* gate = scratch.take<float>(size);
  auto* up = scratch.take<float>(size);
  if (width < kPairRows) {
    std::fill_n(gate, size, 0.0f);
    std::fill_n(up, size, 0.0f);
  }
  const auto product = [&](const CpuMatrix& w,
                           const Linear& linear,
                           const LowRankBlock& low,
                           float* y) {
    w.multiply(x, first, last, y, kPairRows);
    const float* bias = bias_of(linear);
    finish_columns(
        y,
        {.bias = bias ? bias + column : nullptr, .low = &low, .column = column},
        x.count,
        kPairRows,
        width);
  };
  product(call.gate, call.mlp->gate, lows.gate, gate);
  product(call.up, call.mlp->up, lows.up, up);
  const bool silu = call.mlp->activation == Activation::silu;
  (silu ? table.silu : table.gelu)(gate, up, static_cast<int64_t>(size), gate);
  for (int m = 0; m < x.count; ++m) {
    const float* row = gate + static_cast<size_t>(m) * kPairRows;
    if (inner.codes()) {
      inner.set_block(m, column, row);
    }
    if (inner.floats()) {
      inner.set_part(m, column, row, width);
    }
  }
}

void run_down(
    const Call& call,
    LowRankBlock& low,
    const ActivationRows& inner,
    int first,
    Team team) {
  const int width = call.down.rows();
  const auto start = static_cast<size_t>(first) * width;
  const float* bias = bias_of(call.mlp->down);
  const bool whole = !call.mlp->after;
  if (low.any()) {
    team.run(inner.count, 1, [&](int begin, int end) {
      for (int m = begin; m < end; ++m) {
        low.take(m, inner.values + static_cast<size_t>(m) * call.down.cols());
      }
    });
  }
  team.run(
      call.down.panels(),
      panel_grain(call.down.cols(), inner.count),
      [&](int begin, int end) {
        const int column = begin * kPanelRows;
        const size_t at = start + column;
        call.down.multiply(inner, begin, end, call.out + at, width);
        finish_columns(
            call.out + at,
            {.bias = bias ? bias + column : nullptr,
             .low = &low,
             .column = column,
             .residual = whole && call.residual ? call.residual + at : nullptr},
            inner.count,
            width,
            std::min(end * kPanelRows, width) - column);
      });
  if (whole) {
    return;
  }
  team.run(inner.count, 4, [&](int begin, int end) {
    for (int m = begin; m < end; ++m) {
      const size_t at = start + static_cast<size_t>(m) * width;
      finish_row(
          call.out + at,
          *call.mlp->after,
          call.residual ? call.residual + at : nullptr,
          width);
    }
  });
}

void run_rows(const Call& call, int first, int count, Team team) {
  const bool gate_packed = call.gate.packed();
  const bool up_packed = call.up.packed();
  const int cols = call.gate.cols();
  Scratch scratch;
  Lows lows(call, scratch, first, count);
  RowBuffer in(
      scratch,
      count,
      cols,
      !gate_packed || !up_packed || lows.gate.any() || lows.up.any(),
      gate_packed || up_packed);
  RowBuffer inner(
      scratch,
      count,
      call.down.cols(),
      !call.down.packed() || lows.down.any(),
      call.down.packed());
  const auto& before = call.mlp->before;
  team.run(count, 4, [&](int begin, int end) {
    for (int m = begin; m < end; ++m) {
      in.set(
          m,
          call.x + static_cast<size_t>(first + m) * cols,
          before ? &*before : nullptr);
      if (lows.gate.any() || lows.up.any()) {
        const float* row = in.view().values + static_cast<size_t>(m) * cols;
        lows.gate.take(m, row);
        lows.up.take(m, row);
      }
    }
  });
  const ActivationRows x = in.view();
  const int pairs = (call.gate.rows() + kPairRows - 1) / kPairRows;
  const int grain = std::max(1, panel_grain(cols, count) / 4);
  team.run(pairs, grain, [&](int begin, int end) {
    for (int pair = begin; pair < end; ++pair) {
      run_pair(call, lows, x, pair, inner);
    }
  });
  run_down(call, lows.down, inner.view(), first, team);
}

class RapidGatedMlp final : public CpuPrimitive {
 public:
  RapidGatedMlp(GatedMlpPtr mlp, AdaptedBatch adapted)
      : mlp_(std::move(mlp)), adapted_(adapted.begin(), adapted.end()) {}
  const char* name() const override { return "RapidGatedMlp"; }
  std::string_view op() const override { return "mlp"; }

  CpuWork work(const std::vector<mx::array>& inputs, mx::array& out) override {
    Call call(*mlp_);
    call.adapted = std::move(adapted_);
    call.x = rows<float>(inputs[0]);
    call.residual = inputs.size() > 1 ? rows<float>(inputs[1]) : nullptr;
    call.out = out.data<float>();
    const auto count =
        static_cast<int>(out.size() / static_cast<size_t>(call.down.rows()));
    return [call = std::move(call), count, keep = mlp_] {
      for_row_blocks(count, [&](int first, int rows, Team team) {
        run_rows(call, first, rows, team);
      });
    };
  }

 private:
  GatedMlpPtr mlp_;
  std::vector<AdaptedRows> adapted_;
};

void check(const Linear& linear, int64_t inputs, int64_t outputs) {
  const Weight& w = *linear.weight;
  if (w.cols != inputs || w.rows != outputs ||
      (linear.bias && static_cast<int64_t>(linear.bias->size()) != outputs)) {
    throw std::invalid_argument("gated_mlp: the shape of " + w.name);
  }
}

}  // namespace

mx::array gated_mlp_cpu(
    const mx::array& x,
    const GatedMlpPtr& mlp,
    const std::optional<mx::array>& residual,
    AdaptedBatch adapted) {
  mx::Shape shape = x.shape();
  const int64_t width = shape.empty() ? 0 : shape.back();
  const int64_t inner = mlp->gate.weight->rows;
  const int64_t outputs = mlp->down.weight->rows;
  check(mlp->gate, width, inner);
  check(mlp->up, width, inner);
  check(mlp->down, inner, outputs);
  const auto fits = [](const std::optional<RmsNorm>& norm, int64_t size) {
    return !norm || static_cast<int64_t>(norm->weight.size()) == size;
  };
  shape.back() = static_cast<int>(outputs);
  if (!fits(mlp->before, width) || !fits(mlp->after, outputs) ||
      (residual && residual->shape() != shape)) {
    throw std::invalid_argument("gated_mlp: a norm's or the residual's shape");
  }
  return node_over(
      x,
      residual,
      std::move(shape),
      std::make_shared<RapidGatedMlp>(mlp, adapted));
}

}  // namespace rapid
