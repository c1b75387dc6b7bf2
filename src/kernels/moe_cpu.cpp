#include "kernels/moe_cpu.h"

#include <string>

#include "kernels/cpu_matrix.h"
#include "kernels/cpu_primitive.h"
#include "kernels/moe_call_cpu.h"

namespace rapid {

namespace {

using Call = ExpertCall;

constexpr int kMostRows = 512;  // in work together

class RapidMixtureOfExperts final : public CpuPrimitive {
 public:
  RapidMixtureOfExperts(MixtureOfExpertsPtr moe, bool residual, bool scores)
      : moe_(std::move(moe)), residual_(residual), scores_(scores) {}
  const char* name() const override { return "RapidMixtureOfExperts"; }
  std::string_view op() const override { return "experts"; }

  CpuWork work(const std::vector<mx::array>& inputs, mx::array& out) override {
    Call call;
    call.moe = moe_.get();
    call.x = rows<float>(inputs[0]);
    call.residual = residual_ ? rows<float>(inputs[1]) : nullptr;
    call.scores = scores_ ? rows<float>(inputs.back()) : nullptr;
    call.out = out.data<float>();
    call.cols = inputs[0].shape(-1);
    call.width = out.shape(-1);
    const auto count =
        static_cast<int>(out.size() / static_cast<size_t>(call.width));
    return [call, count, keep = moe_] {
      for (int first = 0; first < count; first += kMostRows) {
        Call part = call;
        part.x += static_cast<size_t>(first) * call.cols;
        part.out += static_cast<size_t>(first) * call.width;
        if (call.residual) {
          part.residual += static_cast<size_t>(first) * call.width;
        }
        if (call.scores) {
          part.scores += static_cast<size_t>(first) * call.moe->experts;
        }
        run_experts(part, std::min(kMostRows, count - first));
      }
    };
  }

 private:
  MixtureOfExpertsPtr moe_;
  bool residual_;
  bool scores_;
};

void check(bool fits, const char* what) {
  if (!fits) {
    throw std::invalid_argument(std::string("mixture_of_experts: ") + what);
  }
}

void check_bank(
    const ExpertBank& bank, int experts, int64_t inputs, int outputs) {
  const bool apart = bank.stride == 0;
  check(
      bank.weights.size() == (apart ? static_cast<size_t>(experts) : 1),
      "the number of a bank's weights");
  check(
      bank.rows == outputs &&
          (!bank.biases || static_cast<int64_t>(bank.biases->size()) ==
                               int64_t{experts} * outputs),
      "a bank's rows");
  for (const WeightPtr& weight : bank.weights) {
    check(
        weight->cols == inputs &&
            (apart ? weight->rows == outputs
                   : stack_fits(bank.first, bank.stride) &&
                         weight->rows >= int64_t{experts} * bank.stride),
        "a weight of the experts");
    check(
        is_packed(*weight) == is_packed(*bank.weights.front()),
        "experts of one bank in different forms");
  }
}

void check_linear(const Linear& linear, int64_t inputs, int64_t outputs) {
  check(
      linear.weight->cols == inputs && linear.weight->rows == outputs &&
          (!linear.bias ||
           static_cast<int64_t>(linear.bias->size()) == outputs),
      "the router's or the shared part's shape");
}

void check_shapes(const MixtureOfExperts& moe, int width, bool scores) {
  const Router& r = moe.router;
  if (!scores) {
    check_linear(r.gate, width, moe.experts);
    check(!is_packed(*r.gate.weight), "the router's weight is packed");
  }
  check(r.top_k >= 1 && r.top_k <= moe.experts, "top_k");
  check(
      !r.expert_scale ||
          static_cast<int>(r.expert_scale->size()) == moe.experts,
      "the experts' scales");
  check(
      r.groups >= 1 && moe.experts % r.groups == 0 && r.top_groups >= 1 &&
          r.top_groups <= r.groups,
      "groups");
  check_bank(moe.up, moe.experts, width, moe.up.rows);
  check(
      moe.gate.has_value() == (moe.activation.kind != Gating::squared_relu_up),
      "a gate without use, or none");
  if (moe.gate) {
    check_bank(*moe.gate, moe.experts, width, moe.up.rows);
  }
  check_bank(moe.down, moe.experts, moe.up.rows, moe.down.rows);
  if (moe.shared) {
    const SharedExpert& s = *moe.shared;
    const int64_t inner = s.up.weight->rows;
    check_linear(s.up, width, inner);
    check(s.gate.has_value() == moe.gate.has_value(), "the shared gate");
    if (s.gate) {
      check_linear(*s.gate, width, inner);
    }
    check_linear(s.down, inner, moe.down.rows);
    if (s.weight) {
      check_linear(*s.weight, width, 1);
      check(!is_packed(*s.weight->weight), "the shared weight is packed");
    }
  }
}

}  // namespace

mx::array mixture_of_experts_cpu(
    const mx::array& x,
    const MixtureOfExpertsPtr& moe,
    const std::optional<mx::array>& residual,
    const std::optional<mx::array>& scores) {
  mx::Shape shape = x.shape();
  check(!shape.empty(), "no rows");
  const int width = shape.back();
  check_shapes(*moe, width, scores.has_value());
  const auto fits = [](const std::optional<RmsNorm>& norm, int size) {
    return !norm || static_cast<int>(norm->weight.size()) == size;
  };
  shape.back() = moe->down.rows;
  check(
      fits(moe->before, width) && fits(moe->router.own_norm, width) &&
          fits(moe->after, moe->down.rows) &&
          (!residual || residual->shape() == shape) &&
          (!scores || scores->size() == x.size() / static_cast<size_t>(width) *
                                            static_cast<size_t>(moe->experts)),
      "a norm's, the residual's or the scores' shape");
  std::vector<mx::array> inputs = {as_type(x, mx::float32)};
  for (const auto& more : {residual, scores}) {
    if (more) {
      inputs.push_back(as_type(*more, mx::float32));
    }
  }
  return cpu_node(
      std::move(shape),
      std::make_shared<RapidMixtureOfExperts>(
          moe, residual.has_value(), scores.has_value()),
      std::move(inputs));
}

}  // namespace rapid
