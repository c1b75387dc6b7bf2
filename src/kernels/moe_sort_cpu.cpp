// The router's part: which rows meet which expert.
#include <algorithm>

#include "kernels/moe_call_cpu.h"

namespace rapid {

ExpertMatrix matrix_of(const Linear& linear) {
  ExpertMatrix out{CpuMatrix(*linear.weight)};
  out.rows = out.all.rows();
  out.bias = linear.bias ? linear.bias->data<float>() : nullptr;
  return out;
}

ExpertMatrix matrix_of(const ExpertBank& bank, int expert) {
  const bool apart = bank.stride == 0;
  const auto index = static_cast<size_t>(apart ? expert : 0);
  ExpertMatrix out{CpuMatrix(*bank.weights[index])};
  out.rows = bank.rows;
  out.first_panel =
      apart ? 0 : (bank.first + expert * bank.stride) / kPanelRows;
  if (bank.biases) {
    out.bias =
        bank.biases->data<float>() + static_cast<size_t>(expert) * bank.rows;
  }
  return out;
}

const float* product_of_rows(
    Scratch& scratch, const Linear& linear, const ActivationRows& in) {
  const ExpertMatrix w = matrix_of(linear);
  auto* out = scratch.take<float>(static_cast<size_t>(in.count) * w.rows);
  const int tiles = (in.count + kTileRows - 1) / kTileRows;
  const int panels = w.panels();
  const int cols = w.all.cols();
  const int grain = panel_grain(cols, std::min(in.count, kTileRows));
  ThreadPool::global().run(tiles * panels, grain, [&](int begin, int end) {
    for (int item = begin; item < end; ++item) {
      const int first = item / panels * kTileRows;
      const int panel = item % panels;
      const int count = std::min(kTileRows, in.count - first);
      const ActivationRows x{
          in.values + static_cast<size_t>(first) * cols, nullptr, count};
      const int column = panel * kPanelRows;
      float* to = out + static_cast<size_t>(first) * w.rows + column;
      w.multiply(x, panel, panel + 1, to, w.rows);
      add_columns(
          to,
          w.bias ? w.bias + column : nullptr,
          nullptr,
          count,
          w.rows,
          std::min(kPanelRows, w.rows - column));
    }
  });
  return out;
}

namespace {

const float* router_logits(
    Scratch& scratch, const ExpertCall& call, const ActivationRows& in) {
  const Router& router = call.moe->router;
  if (call.scores) {
    return call.scores;
  }
  if (!router.own_norm) {
    return product_of_rows(scratch, router.gate, in);
  }
  RowBuffer own(scratch, in.count, call.cols, true, false);
  ThreadPool::global().run(in.count, 4, [&](int begin, int end) {
    for (int m = begin; m < end; ++m) {
      own.set(
          m, call.x + static_cast<size_t>(m) * call.cols, &*router.own_norm);
    }
  });
  return product_of_rows(scratch, router.gate, own.view());
}

}  // namespace

SortedRows sort_rows(
    Scratch& scratch, const ExpertCall& call, const ActivationRows& in) {
  const Router& router = call.moe->router;
  const int experts = call.moe->experts;
  const int k = router.top_k;
  const float* logits = router_logits(scratch, call, in);
  const auto pairs = static_cast<size_t>(in.count) * k;
  auto* chosen = scratch.take<int>(pairs);
  auto* weights = scratch.take<float>(pairs);
  ThreadPool::global().run(in.count, 8, [&](int begin, int end) {
    for (int m = begin; m < end; ++m) {
      const size_t at = static_cast<size_t>(m) * k;
      choose_experts(
          logits + static_cast<size_t>(m) * experts,
          experts,
          router,
          chosen + at,
          weights + at);
    }
  });
  SortedRows out;
  out.starts = scratch.take<int>(static_cast<size_t>(experts) + 1);
  out.rows = scratch.take<int>(pairs);
  out.weights = scratch.take<float>(pairs);
  auto* next = scratch.take<int>(static_cast<size_t>(experts));
  std::fill_n(out.starts, experts + 1, 0);
  for (size_t i = 0; i < pairs; ++i) {
    ++out.starts[chosen[i] + 1];
  }
  for (int e = 0; e < experts; ++e) {
    out.starts[e + 1] += out.starts[e];
    next[e] = out.starts[e];
  }
  for (size_t i = 0; i < pairs; ++i) {
    const int at = next[chosen[i]]++;
    out.rows[at] = static_cast<int>(i) / k;
    out.weights[at] = weights[i];
  }
  return out;
}

}  // namespace rapid
