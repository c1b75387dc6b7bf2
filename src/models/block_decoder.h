// Loads a decoder whose layers are all plain transformer blocks: an
// architecture says how each of them is made.
#pragma once

#include <functional>
#include <memory>

#include "models/decoder.h"

namespace rapid {

struct BlockDecoderOptions {
  float norm_offset = 0.0f;
  float embedding_scale = 1.0f;
  float logit_softcap = 0.0f;  // 0 = off
  std::function<TransformerBlockOptions(int layer)> layer;
};

// Strict. The text part alone where a checkpoint has others (text_part).
Result<std::unique_ptr<Model>> load_block_decoder(
    const std::shared_ptr<const ModelFiles>& files,
    const LoadOptions& load,
    const DecoderConfig& shape,
    const BlockDecoderOptions& options);

// Where the parameters of a model's text part lie: those of images and sound
// are skipped.
struct TextPart {
  WeightCursor root;   // lm_head
  WeightCursor model;  // embed_tokens, layers, norm
};
TextPart text_part(const ModelFiles& files, WeightMap& map);

// What files hold for a layer that reads another one's keys: tensors of k and
// v whose names end so.
void ignore_keys(
    const WeightCursor& layer,
    std::initializer_list<const char*> endings,
    WeightMap& map);

// The text part's configuration of a model that has several.
Json text_config(const Json& config);

// The options of Llama's layer, which others start from.
TransformerBlockOptions plain_block(
    const DecoderConfig& shape, const RopeOptions& rope);

// Bias by a key of the configuration; where there is none (GGUF), by what the
// file holds.
Bias bias_of(const Json& config, const char* key, bool fallback = false);

// Which layers slide: layer_types or GGUF's list, or every layer but each
// `pattern`-th.
Result<std::vector<bool>> sliding_layers(
    const Json& config, int layers, int pattern);

}  // namespace rapid
