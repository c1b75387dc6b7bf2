// What hybrids of gated delta nets and full attention share: the configuration
// keys, the layers and the tensors that a text model does not need.
#pragma once

#include "models/config.h"
#include "models/decoder.h"
#include "nn/gated_delta_net.h"

namespace rapid {

struct DeltaHybridConfig {
  DecoderConfig shape;
  GatedDeltaShape delta;
  std::vector<bool> linear;  // by layer: a gated delta net
  RopeOptions rope;
  Bias attention_bias = Bias::none;
  bool gated = true;         // attention's output
  float norm_offset = 1.0f;  // 0 where the file's norms hold the one
  bool tiled = false;        // see GatedDeltaNetOptions
};

Result<DeltaHybridConfig> read_delta_hybrid(const Json& config);

// As published: a convolution of [C, 1, K] comes with norms less one.
bool norms_less_one(const ModelFiles& files);

// GGUF's metadata of such a model beside what model_config() maps, and its
// names of parameters.
Json with_gguf_delta(const ModelFiles& files, const Json& config);
Renames gguf_delta_names();

// The sparse layers of a model that has some.
struct DeltaFeedForward {
  int row_floats = 0;  // see ModelInfo
  // From its norm to the residual; none: the layer has a plain gated MLP.
  // Empty: they all have.
  std::function<Result<std::optional<LayerPart>>(
      const WeightCursor& layer, int index, const RmsNorm& before)>
      load;
};

// Of a configuration with experts; else empty.
Result<DeltaFeedForward> read_feed_forward(
    const Json& config, const DecoderConfig& shape);

Result<std::unique_ptr<Model>> load_delta_hybrid(
    const ModelFiles& files,
    WeightMap& map,
    const DeltaHybridConfig& config,
    const DeltaFeedForward& sparse = {});

}  // namespace rapid
