// Loads a decoder whose layers are transformer blocks, some of them with
// experts: an architecture says how each of them is made.
#pragma once

#include <functional>
#include <memory>

#include "models/block_decoder.h"
#include "models/moe_config.h"
#include "nn/moe.h"

namespace rapid {

struct MoeDecoderOptions {
  MoeOptions moe;
  std::string_view scope = "mlp";  // of the sparse part in a layer
  std::function<TransformerBlockOptions(int layer)> layer;
  std::function<bool(int layer)> sparse;
  // Experts that do not lie as load_experts() knows them; may be empty.
  std::function<Result<ExpertBanks>(const WeightCursor& sparse_part)> experts;
};

// Strict. Layers beyond the last (heads that guess further tokens) are known
// and skipped.
Result<std::unique_ptr<Model>> load_moe_decoder(
    const std::shared_ptr<const ModelFiles>& files,
    const LoadOptions& load,
    const DecoderConfig& shape,
    const MoeDecoderOptions& options);

// The router that DeepSeek V3 began: scores by sigmoid, a correction for the
// choice, groups, a shared part of n_shared_experts.
Result<MoeOptions> read_grouped_moe(
    const Json& config, const DecoderConfig& shape);

void skip_later_layers(WeightMap& map, const ModelFiles& files, int layers);

}  // namespace rapid
