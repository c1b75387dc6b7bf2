// What decoder-only transformers share: the ragged batch, the embedding, paged
// states, the final norm and the head, made for the asked rows only. An
// architecture adds its layers.
#pragma once

#include <vector>

#include "models/config.h"
#include "models/model.h"
#include "nn/embedding.h"
#include "nn/ragged_batch.h"
#include "nn/transformer_block.h"

namespace rapid {

struct KvLayer {
  int heads = 0;
  int dim = 0;
  int window = 0;  // 0 = full attention
};

// All of a decoder but its layers.
struct DecoderSpine {
  ModelInfo info;
  Embedding embedding;
  ProjectionPtr head;  // the final norm and the matrix
  float embedding_scale = 1.0f;
  float logit_softcap = 0.0f;  // 0 = off
  std::vector<KvLayer> states;

  // embed_tokens and norm below `model`; lm_head below `root`, or the
  // embedding where the configuration or the file ties them.
  static Result<DecoderSpine> load(
      const ModelFiles& files,
      const DecoderConfig& config,
      const WeightCursor& root,
      const WeightCursor& model,
      float norm_offset = 0.0f);
};

class Decoder : public Model {
 public:
  const ModelInfo& info() const final { return spine_.info; }
  SequenceState make_states(const StateOptions& options) const final;
  // Throws std::invalid_argument for what only our own bugs can pass: no
  // tokens, no states, a token outside the vocabulary.
  mx::array forward(std::span<const SequenceInput> batch) final;

 protected:
  explicit Decoder(DecoderSpine spine) : spine_(std::move(spine)) {}

  // x [T, hidden] -> [T, hidden], residuals included.
  virtual mx::array layer(
      int index, const mx::array& x, const RaggedBatch& batch) const = 0;

 private:
  void check(std::span<const SequenceInput> batch) const;
  mx::array logits(const mx::array& rows) const;

  DecoderSpine spine_;
};

// A decoder whose layers are all plain transformer blocks.
class BlockDecoder final : public Decoder {
 public:
  BlockDecoder(DecoderSpine spine, std::vector<TransformerBlock> layers)
      : Decoder(std::move(spine)), layers_(std::move(layers)) {}

 private:
  mx::array layer(
      int index, const mx::array& x, const RaggedBatch& batch) const override {
    return layers_[static_cast<size_t>(index)](x, batch, index);
  }

  std::vector<TransformerBlock> layers_;
};

// Ends strict loading: skips what is known and unneeded (rotary tables, a head
// tied to the embedding), then names what nobody took.
Status finish_weights(
    WeightMap& map, const ModelFiles& files, const DecoderConfig& config);

// The scopes of a decoder's parameters, one per layer, under `model`.
WeightCursor layer_scope(const WeightCursor& model, int index);

}  // namespace rapid
