// The sparse feed-forward part of a layer, a mixture of experts, as one node:
//
//   y = residual + after(sum_e w_e E_e(n) + w_s S(n)),  n = before(x)
//   E(n) = down(activation(gate(n), up(n)))
//
// A row's router picks top_k experts e and their weights w_e; the shared part
// S meets every row. x [T, K] float32 -> y [T, K] float32. Products as in
// projection.h, but the router's, which always meet float32 activations: a
// rounded score may pick another expert.
//
// A row depends on its own experts only, which add up by ascending number,
// then the shared part; so its bits are the same for one row and for many.
// Threads: as all graph building.
#pragma once

#include <limits>
#include <memory>
#include <optional>
#include <vector>

#include "kernels/projection.h"
#include "tensor/gpu_layout.h"

namespace rapid {

constexpr float kTinySum = 1e-20f;  // keeps a sum of weights from being zero

// How scores come from the router's logits, over all experts or, `chosen`,
// over those that were picked by their logits; `given`: the logits are the
// weights already, zero where an expert is not met.
enum class RouterScore {
  softmax,
  sigmoid,
  softmax_of_chosen,
  sqrt_softplus,
  given
};

struct Router {
  Linear gate;  // [E, K]
  RouterScore score = RouterScore::softmax;
  std::optional<mx::array> correction;  // [E], added for the choice alone
  int top_k = 1;
  // The experts lie in so many groups of one size; only those of the
  // top_groups best can be picked. A group is as good as the sum of its
  // group_best best experts. The others count as `outside`.
  int groups = 1;
  int top_groups = 1;
  int group_best = 2;
  float outside = -std::numeric_limits<float>::infinity();
  bool renormalise = false;  // weights of a row add up to `scale`
  float scale = 1.0f;
  std::optional<mx::array> expert_scale;  // [E], times the weights at last
  // The router sees x under this norm, not `n`.
  std::optional<RmsNorm> own_norm;
};

enum class Gating {
  silu,            // silu(gate) up
  gelu_tanh,       // gelu(gate) up
  clamped_silu,    // g sigmoid(alpha g) (u + 1), g and u clamped to `limit`
  limited_silu,    // silu(g) u, g and u clamped to `limit`
  squared_relu_up  // max(up, 0)^2; no gate
};

struct ExpertActivation {
  Gating kind = Gating::silu;
  float alpha = 1.702f;
  float limit = 7.0f;
};

// The same matrix of every expert: a weight each, or one weight of which
// expert e has rows [first + e stride, first + e stride + rows). On the CPU
// first and stride are multiples of 16 then, see stack_fits().
struct ExpertBank {
  std::vector<WeightPtr> weights;
  int rows = 0;
  int first = 0;
  int stride = 0;                    // 0: a weight each
  std::optional<mx::array> biases;   // [E, rows] float32, evaluated
  std::optional<GpuLayout> stacked;  // where products run on a GPU
};

// Whether a kernel can read the experts where they lie in one weight.
bool stack_fits(int first, int stride);

// Lays the weights out for the products of the default device. At load, once.
void prepare(ExpertBank& bank, int experts);
// The part of it for GPUs: fills bank.stacked.
void stack_for_gpu(ExpertBank& bank, int experts);

struct SharedExpert {
  std::optional<Linear> gate;
  Linear up;
  Linear down;
  std::optional<Linear> weight;  // [1, K]: the result is times its sigmoid
  float scale = 1.0f;
};

struct MixtureOfExperts {
  int experts = 0;
  Router router;
  std::optional<ExpertBank> gate;
  ExpertBank up;
  ExpertBank down;
  ExpertActivation activation;  // of the shared part, too
  std::optional<SharedExpert> shared;
  std::optional<RmsNorm> before;
  std::optional<RmsNorm> after;
};

using MixtureOfExpertsPtr = std::shared_ptr<const MixtureOfExperts>;

// `scores`: the router's logits [T, E], where it meets other rows than x; its
// own weight is not used then.
// Throws std::invalid_argument where shapes do not fit.
mx::array mixture_of_experts(
    const mx::array& x,
    const MixtureOfExpertsPtr& moe,
    const std::optional<mx::array>& residual = std::nullopt,
    const std::optional<mx::array>& scores = std::nullopt);

// The definition: every expert meets every row, most of them times zero.
mx::array mixture_of_experts_reference(
    const mx::array& x,
    const MixtureOfExperts& moe,
    const std::optional<mx::array>& residual = std::nullopt,
    const std::optional<mx::array>& scores = std::nullopt);

// By MLX's gathered products, for GPUs; all banks must be `stacked`.
mx::array mixture_of_experts_gathered(
    const mx::array& x,
    const MixtureOfExperts& moe,
    const std::optional<mx::array>& residual = std::nullopt,
    const std::optional<mx::array>& scores = std::nullopt);

// One expert's matrix as a linear layer of its own.
Linear linear_of(const ExpertBank& bank, int expert);

// x [T, 1 or k, 1, K] times the experts [T, k] of a `stacked` bank
// -> [T, k, 1, N].
mx::array gathered_product(
    const mx::array& x, const ExpertBank& bank, const mx::array& experts);

// What the router's logits say, before any choice: rows [T, E], one row.
mx::array router_scores(const mx::array& logits, RouterScore kind);
void router_scores(float* logits, int experts, RouterScore kind);

// Logits [T, E] -> the experts' numbers [T, top_k] uint32 and weights.
struct Choice {
  mx::array experts;
  mx::array weights;
};

Choice choose_experts(const mx::array& logits, const Router& router);

// The same of one row, on plain memory; by ascending number.
void choose_experts(
    const float* logits,
    int experts,
    const Router& router,
    int* chosen,
    float* weights);

}  // namespace rapid
