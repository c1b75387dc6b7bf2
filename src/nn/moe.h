// Loads a mixture of experts, from the norm before it to the residual after
// it: parameters of the router, the experts and a shared part below the
// cursor, under the names that the options give.
//
// The experts' matrices may lie as checkpoints have them:
//   stacked   <stack>.<gate> [E, I, K]: MLX, GGUF
//   fused     <experts>.gate_up_proj [E, 2I, K] (rows of gate, then of up) and
//             <experts>.<down>: transformers 5; GGUF, below <stack>
//   apart     <experts>.<e>.<gate> [I, K] for each expert: most others
// Errors: corrupt, naming the parameter that is missing or misshapen.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "kernels/moe.h"
#include "nn/transformer_block.h"

namespace rapid {

struct MoeNames {
  std::string_view router = "gate";
  std::string_view correction = "gate.e_score_correction_bias";
  std::string_view stack = "switch_mlp";
  std::string_view experts = "experts";
  std::string_view gate = "gate_proj";
  std::string_view up = "up_proj";
  std::string_view down = "down_proj";
  // Where each expert has tensors of its own, and of the shared part.
  std::string_view each_gate = "gate_proj";
  std::string_view each_up = "up_proj";
  std::string_view each_down = "down_proj";
  std::string_view shared = "shared_experts";
  std::string_view shared_weight = "shared_expert_gate";
};

struct MoeOptions {
  int hidden = 0;
  int inner = 0;  // of one expert
  int experts = 0;
  // All but the weight, its bias and the correction, which are loaded.
  RouterScore score = RouterScore::softmax;
  int top_k = 1;
  int groups = 1;
  int top_groups = 1;
  int group_best = 2;
  bool renormalise = false;
  float scale = 1.0f;
  Bias correction = Bias::none;
  Bias router_bias = Bias::none;
  // The router's scores are given with the rows: its weight is not loaded.
  bool scores_given = false;
  // As in Router; loaded by the family, evaluated.
  std::optional<RmsNorm> router_norm = std::nullopt;
  std::optional<mx::array> expert_scale = std::nullopt;
  ExpertActivation activation;
  Bias bias = Bias::none;  // of the experts
  int shared_inner = 0;    // 0 = no shared part
  Bias shared_bias = Bias::none;
  bool shared_weighted = false;
  float shared_scale = 1.0f;
  MoeNames names;
};

struct ExpertBanks {
  std::optional<ExpertBank> gate;
  ExpertBank up;
  ExpertBank down;
};

// Rows of one expert among those of all in one weight.
struct ExpertPlace {
  int first = 0;
  int rows = 0;
  int stride = 0;
};

// The weight as it lies, or cut in rows where no kernel can read it so.
ExpertBank bank_of(const WeightPtr& all, int experts, const ExpertPlace& place);

class Moe {
 public:
  // `banks`: experts that were loaded already, not prepared.
  static Result<Moe> load(
      const WeightCursor& cursor,
      const MoeOptions& options,
      BlockNorms norms,
      std::optional<ExpertBanks> banks = std::nullopt);

  // x [T, hidden] -> [T, hidden], residual included. Experts take no adapters.
  mx::array operator()(const mx::array& x, const RaggedBatch&) const {
    return mixture_of_experts(x, moe_, x);
  }
  // Without the residual, by scores that a router of other rows gave.
  mx::array by_scores(const mx::array& x, const mx::array& scores) const {
    return mixture_of_experts(x, moe_, std::nullopt, scores);
  }
  // Without the residual.
  mx::array alone(const mx::array& x) const {
    return mixture_of_experts(x, moe_);
  }
  // Added to something else than x.
  mx::array onto(const mx::array& sum, const mx::array& x) const {
    return mixture_of_experts(x, moe_, sum);
  }

 private:
  explicit Moe(MixtureOfExpertsPtr moe) : moe_(std::move(moe)) {}
  MixtureOfExpertsPtr moe_;
};

// A weight that always meets float32 activations, as a router's.
Result<Linear> load_exact(
    const WeightCursor& cursor, const LinearOptions& options);

// `corrupt` where top_k, groups and experts do not fit each other.
Status check_experts(const MoeOptions& options);

// float32 values that a step of the block holds of one token (see
// ModelInfo::row_floats).
int moe_row_floats(const MoeOptions& options);

// The second part of a layer, dense or sparse: an Mlp or a Moe.
using FeedForward =
    std::function<mx::array(const mx::array& x, const RaggedBatch& batch)>;

struct MoeLayerOptions {
  MoeOptions moe;
  std::string_view scope = "mlp";
  std::optional<ExpertBanks> banks = std::nullopt;
};

// Sparse where `sparse` is given; else dense, below "mlp".
Result<FeedForward> load_feed_forward(
    const WeightCursor& layer,
    const MlpOptions& dense,
    const MoeLayerOptions* sparse,
    BlockNorms norms);

struct MoeLayer {
  SelfAttention attention;
  FeedForward mlp;

  static Result<MoeLayer> load(
      const WeightCursor& cursor,
      const TransformerBlockOptions& block,
      const MoeLayerOptions* sparse);

  mx::array operator()(
      const mx::array& x, const RaggedBatch& batch, int layer) const {
    return mlp(attention(x, batch, layer), batch);
  }
};

}  // namespace rapid
