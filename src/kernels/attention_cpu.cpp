#include "kernels/attention_cpu.h"

#include <stdexcept>
#include <string>

#include "kernels/attention_call_cpu.h"
#include "kernels/cpu_primitive.h"
#include "kernels/scratch.h"

namespace rapid {

namespace {

using Call = AttentionCall;

void run(Call& call) {
  Scratch scratch;
  call.q = scratch.take<float>(
      static_cast<size_t>(call.tokens) * call.heads() * call.shape.dim);
  attend_rows(call);
}

class RapidAttention final : public CpuPrimitive {
 public:
  explicit RapidAttention(Call call) : call_(std::move(call)) {}
  const char* name() const override { return "RapidAttention"; }
  std::string_view op() const override { return "attention"; }

  CpuWork work(const std::vector<mx::array>& inputs, mx::array& out) override {
    auto call = std::make_shared<Call>(std::move(call_));
    call->qkv = rows<float>(inputs[0]);
    call->out = out.data<float>();
    call->tokens = out.shape(0);
    return [call] { run(*call); };
  }

 private:
  Call call_;
};

void check(bool fits, const char* what) {
  if (!fits) {
    throw std::invalid_argument(std::string("attention: ") + what);
  }
}

void check_layer(const Call& call) {
  const AttentionOptions& o = call.options();
  const auto fits = [&](const std::optional<RmsNorm>& norm, int heads) {
    const auto dim = static_cast<size_t>(call.shape.dim);
    return !norm || norm->weight.size() == dim ||
           norm->weight.size() == dim * static_cast<size_t>(heads);
  };
  const KvShape& shape = call.shape;
  check(
      shape.bits == 0
          ? shape.dtype == mx::float32 || shape.dtype == mx::float16
          : shape.dtype == mx::uint8 && (shape.bits == 8 || shape.bits == 4),
      "pages are float32, float16, or codes of 8 or 4 bits");
  check(
      o.heads > 0 && o.heads % call.shape.heads == 0 &&
          o.rope.dims <= call.shape.dim && o.rope.dims % 2 == 0 &&
          o.growth_tokens > 0 &&
          (!o.sinks || static_cast<int>(o.sinks->size()) == o.heads) &&
          fits(o.q_norm, o.heads) && fits(o.k_norm, call.shape.heads) &&
          fits(o.v_norm, 1),
      "heads, norms or rotation do not fit the pages");
}

}  // namespace

mx::array attention_cpu(
    const mx::array& qkv,
    const AttentionPtr& layer,
    std::span<const AttentionRows> batch) {
  check(!batch.empty(), "an empty batch");
  Call call;
  call.layer = layer;
  call.shape = batch.front().pages->shape;
  call.codes = call.coded() ? call.shape.codes() : KvCodes();
  check_layer(call);
  call.group = call.heads() / call.shape.heads;
  check(
      qkv.ndim() == 2 && qkv.shape(1) == call.width(),
      "the width of qkv does not fit the heads");
  const bool shared = layer->options.source == KvSource::shared;
  int row = 0;
  for (const AttentionRows& rows : batch) {
    PageList& list = *rows.pages;
    const int start = list.length - (shared ? rows.rows : 0);
    const int end = start + rows.rows;
    check(rows.first_row == row, "the rows of a batch must lie in order");
    check(start >= 0, "rows that the pages do not hold");
    check(
        list.pages.size() * kPageTokens >= static_cast<size_t>(end),
        "no room in the pages: call prepare_append first");
    check(list.form >= 0 && list.form < kRopeForms, "no such form");
    call.sequences.push_back(
        {list.pages, start, rows.first_row, rows.rows, list.form});
    list.length = end;
    row += rows.rows;
  }
  check(row == qkv.shape(0), "rows that belong to no sequence");
  const mx::Shape shape = {row, call.heads() * call.shape.dim};
  return cpu_node(
      shape,
      std::make_shared<RapidAttention>(std::move(call)),
      {as_type(qkv, mx::float32)});
}

}  // namespace rapid
