#include "kernels/projection_cpu.h"

#include "kernels/cpu_primitive.h"
#include "kernels/cpu_rows.h"
#include "kernels/low_rank_cpu.h"

namespace rapid {

namespace {

struct Part {
  CpuMatrix matrix;
  const float* bias = nullptr;
  int column = 0;       // of its results in a row of the output
  int first_panel = 0;  // among those of all parts
};

struct Call {
  const Projection* projection = nullptr;
  std::vector<Part> parts;
  std::vector<AdaptedRows> adapted;
  const float* x = nullptr;
  const float* residual = nullptr;
  float* out = nullptr;
  int cols = 0;
  int width = 0;  // of a row of the output
  int panels = 0;
  bool floats = false;
  bool codes = false;
};

Call make_call(const Projection& projection) {
  Call call;
  call.projection = &projection;
  for (const Linear& linear : projection.parts) {
    Part part{CpuMatrix(*linear.weight)};
    part.bias = linear.bias ? linear.bias->data<float>() : nullptr;
    part.column = call.width;
    part.first_panel = call.panels;
    call.width += part.matrix.rows();
    call.panels += part.matrix.panels();
    call.cols = part.matrix.cols();
    (part.matrix.packed() ? call.codes : call.floats) = true;
    call.parts.push_back(part);
  }
  return call;
}

// Twice the rows, added up in pairs; a few panels at a time, so that the
// sums are still in the cache.
void multiply_fine(
    const CpuMatrix& matrix,
    const ActivationRows& x,
    int begin,
    int end,
    float* out,
    int64_t stride) {
  constexpr int kPanels = 16;
  constexpr int kWidth = kPanels * kPanelRows;
  const int count = x.count / 2;
  Scratch scratch;
  auto* sums = scratch.take<float>(static_cast<size_t>(x.count) * kWidth);
  for (; begin < end; begin += kPanels, out += kWidth) {
    const int last = std::min(begin + kPanels, end);
    matrix.multiply(x, begin, last, sums, kWidth);
    const int width =
        std::min(last * kPanelRows, matrix.rows()) - begin * kPanelRows;
    for (int m = 0; m < count; ++m) {
      const float* first = sums + static_cast<size_t>(m) * kWidth;
      const float* rest = sums + static_cast<size_t>(count + m) * kWidth;
      for (int c = 0; c < width; ++c) {
        out[m * stride + c] = first[c] + rest[c];
      }
    }
  }
}

// Of all parts; empty where no row has an adapter.
std::vector<LowRankBlock> low_rank_blocks(
    const Call& call, Scratch& scratch, int first, int count) {
  std::vector<LowRankBlock> out;
  if (has_adapted(call.adapted, first, count)) {
    for (const Linear& linear : call.projection->parts) {
      out.emplace_back(scratch, call.adapted, *linear.weight, first, count);
    }
  }
  return out;
}

// Panels [begin, end) of one part for rows [first, first + count).
void run_panels(
    const Call& call,
    const Part& part,
    const LowRankBlock* low,
    const RowBuffer& in,
    int first,
    int begin,
    int end) {
  const int column = begin * kPanelRows;
  const size_t at =
      static_cast<size_t>(first) * call.width + part.column + column;
  const ActivationRows x = in.view();
  if (call.projection->fine && part.matrix.packed()) {
    multiply_fine(
        part.matrix, in.fine_view(), begin, end, call.out + at, call.width);
  } else {
    part.matrix.multiply(x, begin, end, call.out + at, call.width);
  }
  const bool whole = !call.projection->after;
  finish_columns(
      call.out + at,
      {.bias = part.bias ? part.bias + column : nullptr,
       .low = low,
       .column = column,
       .residual = whole && call.residual ? call.residual + at : nullptr},
      x.count,
      call.width,
      std::min(end * kPanelRows, part.matrix.rows()) - column);
}

void run_rows(const Call& call, int first, int count, Team team) {
  const Projection& p = *call.projection;
  Scratch scratch;
  std::vector<LowRankBlock> lows = low_rank_blocks(call, scratch, first, count);
  RowBuffer in(
      scratch,
      count,
      call.cols,
      call.floats || !lows.empty(),
      call.codes,
      p.fine);
  team.run(count, 4, [&](int begin, int end) {
    for (int m = begin; m < end; ++m) {
      in.set(
          m,
          call.x + static_cast<size_t>(first + m) * call.cols,
          p.before ? &*p.before : nullptr);
      for (LowRankBlock& low : lows) {
        low.take(m, in.view().values + static_cast<size_t>(m) * call.cols);
      }
    }
  });
  const int grain = panel_grain(call.cols, count);
  team.run(call.panels, grain, [&](int begin, int end) {
    for (size_t i = 0; i < call.parts.size(); ++i) {
      const Part& part = call.parts[i];
      const int from = std::max(begin - part.first_panel, 0);
      const int to = std::min(end - part.first_panel, part.matrix.panels());
      if (from < to) {
        run_panels(
            call, part, lows.empty() ? nullptr : &lows[i], in, first, from, to);
      }
    }
  });
  if (!p.after) {
    return;
  }
  team.run(count, 4, [&](int begin, int end) {
    for (int m = begin; m < end; ++m) {
      const size_t row = static_cast<size_t>(first + m) * call.width;
      finish_row(
          call.out + row,
          *p.after,
          call.residual ? call.residual + row : nullptr,
          call.width);
    }
  });
}

class RapidProjection final : public CpuPrimitive {
 public:
  RapidProjection(ProjectionPtr p, AdaptedBatch adapted)
      : projection_(std::move(p)), adapted_(adapted.begin(), adapted.end()) {}
  const char* name() const override { return "RapidProjection"; }
  std::string_view op() const override {
    const bool several = projection_->parts.size() > 1;
    return projection_->fine ? "head" : several ? "qkv" : "projection";
  }

  CpuWork work(const std::vector<mx::array>& inputs, mx::array& out) override {
    Call call = make_call(*projection_);
    call.adapted = std::move(adapted_);
    call.x = rows<float>(inputs[0]);
    call.residual = inputs.size() > 1 ? rows<float>(inputs[1]) : nullptr;
    call.out = out.data<float>();
    const auto count =
        static_cast<int>(out.size() / static_cast<size_t>(call.width));
    return [call = std::move(call), count, keep = projection_] {
      for_row_blocks(count, [&](int first, int rows, Team team) {
        run_rows(call, first, rows, team);
      });
    };
  }

 private:
  ProjectionPtr projection_;
  std::vector<AdaptedRows> adapted_;
};

void check(bool fits, const std::string& what) {
  if (!fits) {
    throw std::invalid_argument("project: the shapes do not fit: " + what);
  }
}

}  // namespace

mx::array project_cpu(
    const mx::array& x,
    const ProjectionPtr& projection,
    const std::optional<mx::array>& residual,
    AdaptedBatch adapted) {
  mx::Shape shape = x.shape();
  check(!shape.empty() && !projection->parts.empty(), "no rows or weights");
  int64_t width = 0;
  for (const Linear& part : projection->parts) {
    const Weight& w = *part.weight;
    check(x.shape(-1) == w.cols, "x and " + w.name);
    check(
        !part.bias || static_cast<int64_t>(part.bias->size()) == w.rows,
        "the bias of " + w.name);
    width += w.rows;
  }
  const auto fits = [](const std::optional<RmsNorm>& norm, int64_t size) {
    return !norm || static_cast<int64_t>(norm->weight.size()) == size;
  };
  check(fits(projection->before, x.shape(-1)), "the norm before");
  check(fits(projection->after, width), "the norm after");
  shape.back() = static_cast<int>(width);
  check(!residual || residual->shape() == shape, "the residual");
  return node_over(
      x,
      residual,
      std::move(shape),
      std::make_shared<RapidProjection>(projection, adapted));
}

}  // namespace rapid
