// Which experts a row meets, twice: as plain ops and on plain memory.
#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "kernels/gpu_kernel.h"
#include "kernels/moe.h"
#include "kernels/scratch.h"

namespace rapid {

namespace {

mx::array descending(const mx::array& a) {
  return mx::argsort(mx::negative(a), -1);
}

// [T, E], true in the row's best groups.
mx::array in_best_groups(const mx::array& choice, const Router& r) {
  const int rows = choice.shape(0);
  const int size = choice.shape(1) / r.groups;
  const mx::array grouped = mx::reshape(choice, {rows, r.groups, size});
  const int best = std::min(r.group_best, size);
  const mx::array worth = mx::sum(
      mx::slice(
          mx::sort(grouped, -1), {0, 0, size - best}, {rows, r.groups, size}),
      -1);
  // A group's place in the order of its row.
  const mx::array place = mx::argsort(descending(worth), -1);
  const mx::array good = mx::less(
      place, mx::array(static_cast<uint32_t>(r.top_groups), mx::uint32));
  return mx::reshape(
      mx::broadcast_to(mx::expand_dims(good, 2), {rows, r.groups, size}),
      choice.shape());
}

float sigmoid(float x) {
  return 1.0f / (1.0f + std::exp(-x));
}

// sqrt(log(1 + exp(x)))
float sqrt_softplus(float x) {
  return std::sqrt(std::max(x, 0.0f) + std::log1p(std::exp(-std::abs(x))));
}

void softmax(float* x, int n) {
  const float top = *std::max_element(x, x + n);
  float sum = 0;
  for (int i = 0; i < n; ++i) {
    x[i] = std::exp(x[i] - top);
    sum += x[i];
  }
  for (int i = 0; i < n; ++i) {
    x[i] /= sum;
  }
}

// Sets the choice scores outside the best groups to router.outside.
void keep_best_groups(float* choice, int experts, const Router& r) {
  const int size = experts / r.groups;
  const int best = std::min(r.group_best, size);
  Scratch scratch;
  auto* sorted = scratch.take<float>(static_cast<size_t>(size));
  auto* worth = scratch.take<float>(static_cast<size_t>(r.groups));
  auto* order = scratch.take<int>(static_cast<size_t>(r.groups));
  for (int g = 0; g < r.groups; ++g) {
    std::copy_n(choice + g * size, size, sorted);
    std::partial_sort(sorted, sorted + best, sorted + size, std::greater<>());
    worth[g] = std::accumulate(sorted, sorted + best, 0.0f);
  }
  std::iota(order, order + r.groups, 0);
  std::stable_sort(order, order + r.groups, [&](int a, int b) {
    return worth[a] > worth[b];
  });
  for (int i = r.top_groups; i < r.groups; ++i) {
    std::fill_n(choice + order[i] * size, size, r.outside);
  }
}

// By a kernel of ours where there is one for the case.
std::optional<Choice> chosen_on_gpu(const mx::array& logits, const Router& r) {
  const int rows = logits.shape(0);
  const int experts = logits.shape(1);
  constexpr int kMostChosen = 64;
  if (!gpu_kernels_active() || r.top_groups < r.groups || experts > 1024 ||
      r.top_k > kMostChosen || logits.dtype() != mx::float32 ||
      r.score == RouterScore::sqrt_softplus || r.score == RouterScore::given) {
    return std::nullopt;
  }
  const int flags = (r.score == RouterScore::softmax             ? 1
                     : r.score == RouterScore::sigmoid           ? 2
                     : r.score == RouterScore::softmax_of_chosen ? 4
                                                                 : 0) |
                    (r.renormalise ? 8 : 0) | (r.correction ? 16 : 0);
  const auto made =
      gpu_kernel("chosen_experts", {{"EACH", (experts + 31) / 32}})
          .run(
              {logits, r.correction ? *r.correction : logits},
              {mx::Shape{rows, r.top_k}, mx::Shape{rows, r.top_k}},
              {mx::uint32, mx::float32},
              {experts, r.top_k, flags, r.scale},
              {.x = rows});
  return Choice{
      made[0],
      r.expert_scale
          ? mx::multiply(made[1], mx::take(*r.expert_scale, made[0], 0))
          : made[1]};
}

}  // namespace

mx::array router_scores(const mx::array& logits, RouterScore kind) {
  switch (kind) {
    case RouterScore::softmax:
      return mx::softmax(logits, -1, true);
    case RouterScore::sigmoid:
      return mx::sigmoid(logits);
    case RouterScore::sqrt_softplus:
      return mx::sqrt(mx::logaddexp(logits, mx::array(0.0f)));
    default:
      return logits;
  }
}

void router_scores(float* logits, int experts, RouterScore kind) {
  if (kind == RouterScore::softmax) {
    softmax(logits, experts);
  } else if (kind == RouterScore::sigmoid) {
    std::transform(logits, logits + experts, logits, sigmoid);
  } else if (kind == RouterScore::sqrt_softplus) {
    std::transform(logits, logits + experts, logits, sqrt_softplus);
  }
}

Choice choose_experts(const mx::array& logits, const Router& r) {
  if (auto chosen = chosen_on_gpu(logits, r)) {
    return *chosen;
  }
  const int rows = logits.shape(0);
  const mx::array scores = router_scores(logits, r.score);
  mx::array choice = r.correction ? mx::add(scores, *r.correction) : scores;
  if (r.top_groups < r.groups) {
    choice = mx::where(in_best_groups(choice, r), choice, mx::array(r.outside));
  }
  const mx::array experts =
      mx::slice(descending(choice), {0, 0}, {rows, r.top_k});
  mx::array weights = mx::take_along_axis(scores, experts, -1);
  if (r.score == RouterScore::softmax_of_chosen) {
    weights = mx::softmax(weights, -1, true);
  }
  if (r.renormalise) {
    weights = mx::divide(
        weights, mx::add(mx::sum(weights, -1, true), mx::array(kTinySum)));
  }
  weights = mx::multiply(weights, mx::array(r.scale));
  if (r.expert_scale) {
    weights = mx::multiply(weights, mx::take(*r.expert_scale, experts, 0));
  }
  return {experts, weights};
}

void choose_experts(
    const float* logits,
    int experts,
    const Router& r,
    int* chosen,
    float* weights) {
  Scratch scratch;
  const auto count = static_cast<size_t>(experts);
  auto* scores = scratch.take<float>(count);
  auto* choice = scratch.take<float>(count);
  auto* order = scratch.take<int>(count);
  std::copy_n(logits, experts, scores);
  router_scores(scores, experts, r.score);
  std::copy_n(scores, experts, choice);
  if (r.correction) {
    const float* correction = r.correction->data<float>();
    for (int e = 0; e < experts; ++e) {
      choice[e] += correction[e];
    }
  }
  if (r.top_groups < r.groups) {
    keep_best_groups(choice, experts, r);
  }
  std::iota(order, order + experts, 0);
  std::partial_sort(order, order + r.top_k, order + experts, [&](int a, int b) {
    return choice[a] > choice[b] || (choice[a] == choice[b] && a < b);
  });
  std::sort(order, order + r.top_k);
  float sum = 0;
  for (int i = 0; i < r.top_k; ++i) {
    chosen[i] = order[i];
    weights[i] = scores[order[i]];
  }
  if (r.score == RouterScore::softmax_of_chosen) {
    softmax(weights, r.top_k);
  }
  for (int i = 0; i < r.top_k; ++i) {
    sum += weights[i];
  }
  const float factor = r.renormalise ? r.scale / (sum + kTinySum) : r.scale;
  const float* each = r.expert_scale ? r.expert_scale->data<float>() : nullptr;
  for (int i = 0; i < r.top_k; ++i) {
    weights[i] *= each ? factor * each[chosen[i]] : factor;
  }
}

}  // namespace rapid
