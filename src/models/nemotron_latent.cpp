#include "models/nemotron_latent.h"

namespace rapid {

namespace {

ProjectionPtr projection(Linear linear, std::optional<RmsNorm> before) {
  auto out = std::make_shared<Projection>();
  out->parts.push_back(std::move(linear));
  out->before = std::move(before);
  return out;
}

}  // namespace

Result<ReluMlp> load_relu_mlp(
    const WeightCursor& cursor,
    const ReluMlpOptions& o,
    const RmsNorm& before) {
  RAPID_TRY(
      Linear in, load_linear(cursor, {"up_proj", o.hidden, o.inner, o.bias}));
  RAPID_TRY(
      Linear out,
      load_linear(cursor, {"down_proj", o.inner, o.hidden, o.bias}));
  const ProjectionPtr up = projection(std::move(in), before);
  const ProjectionPtr down = projection(std::move(out), std::nullopt);
  return ReluMlp([up, down](const mx::array& x, const mx::array& onto) {
    const mx::array inner = mx::maximum(project(x, up), mx::array(0.0f));
    return project(mx::square(inner), down, onto);
  });
}

Result<LayerPart> load_latent_experts(
    const WeightCursor& mixer,
    const LatentExpertsOptions& o,
    const RmsNorm& before) {
  const int hidden = o.moe.hidden;
  RAPID_TRY(Linear gate, load_exact(mixer, {"gate", hidden, o.moe.experts}));
  RAPID_TRY(
      Linear in,
      load_linear(mixer, {"fc1_latent_proj", hidden, o.latent, o.bias}));
  RAPID_TRY(
      Linear out,
      load_linear(mixer, {"fc2_latent_proj", o.latent, hidden, o.bias}));
  MoeOptions narrow = o.moe;
  narrow.hidden = o.latent;
  narrow.shared_inner = 0;
  narrow.scores_given = true;
  RAPID_TRY(Moe experts, Moe::load(mixer, narrow, {}));
  RAPID_TRY(
      ReluMlp shared,
      load_relu_mlp(
          mixer.scope("shared_experts"),
          {hidden, o.moe.shared_inner, o.bias},
          before));
  const ProjectionPtr router = projection(std::move(gate), before);
  const ProjectionPtr down = projection(std::move(in), before);
  const ProjectionPtr up = projection(std::move(out), std::nullopt);
  return LayerPart([=](const mx::array& x, const RaggedBatch&) {
    const mx::array y = experts.by_scores(project(x, down), project(x, router));
    return shared(x, project(y, up, x));
  });
}

}  // namespace rapid
