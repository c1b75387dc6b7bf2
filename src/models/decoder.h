// What decoder-only transformers share: the ragged batch, the embedding, paged
// states, the final norm and the head, made for the asked rows only. An
// architecture adds its layers.
#pragma once

#include <functional>
#include <vector>

#include "kernels/compressed.h"
#include "kernels/cuda_step.h"
#include "models/config.h"
#include "models/model.h"
#include "models/rope_config.h"
#include "nn/embedding.h"
#include "nn/ragged_batch.h"
#include "nn/transformer_block.h"
#include "state/recurrent.h"

namespace rapid {

// What a layer keeps of a sequence: keys and values, what `rule` makes of its
// tokens, or what `compressed` says.
struct KvLayer {
  int heads = 0;
  int dim = 0;
  int window = 0;         // 0 = full attention
  bool far_keys = false;  // 4 bits become 8 (SelfAttention::far_keys)
  int border = 0;         // RopeOptions::border
  std::shared_ptr<const RecurrentRule> rule = nullptr;
  std::optional<CompressedShape> compressed = std::nullopt;
};

// All of a decoder but its layers.
struct DecoderSpine {
  ModelInfo info;
  Embedding embedding;
  ProjectionPtr head;  // the final norm and the matrix
  float embedding_scale = 1.0f;
  float logit_softcap = 0.0f;  // 0 = off
  std::vector<KvLayer> states;
  // Of all layers, once they are loaded.
  std::shared_ptr<const std::vector<AdaptableWeight>> adaptable;

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
  std::span<const AdaptableWeight> adaptable() const final {
    return *spine_.adaptable;
  }
  // Throws std::invalid_argument for what only our own bugs can pass: no
  // tokens, no states, a token outside the vocabulary.
  mx::array forward(std::span<const SequenceInput> batch) final;
  mx::array hidden(std::span<const SequenceInput> batch) final;

 protected:
  explicit Decoder(DecoderSpine spine);

  // What the layers find in batch.beside; ids [T], x [T, hidden] embedded.
  virtual std::optional<mx::array> beside(
      const mx::array& /*ids*/, const mx::array& /*x*/) const {
    return std::nullopt;
  }

  // The residual stream as the layers have it, from x [T, hidden] embedded; and
  // what the head takes of it, [T, hidden].
  virtual mx::array widen(const mx::array& x) const { return x; }
  virtual mx::array narrow(const mx::array& x) const { return x; }

  // x as widen() gives it -> the same, residuals included.
  virtual mx::array layer(
      int index, const mx::array& x, const RaggedBatch& batch) const = 0;

 private:
  void check(std::span<const SequenceInput> batch) const;
  // All rows behind the last layer, [T, hidden]; ids [T], those of the batch.
  mx::array run(std::span<const SequenceInput> batch, const mx::array& ids);
  mx::array graph(std::span<const SequenceInput> batch, const mx::array& ids);
  mx::array logits(const mx::array& rows) const;

  DecoderSpine spine_;
  CudaSteps steps_;
};

// A decoder whose layers are all of one type, called as
// layer(x, batch, index).
template <typename Layer>
class LayersDecoder final : public Decoder {
 public:
  LayersDecoder(DecoderSpine spine, std::vector<Layer> layers)
      : Decoder(std::move(spine)), layers_(std::move(layers)) {}

 private:
  mx::array layer(
      int index, const mx::array& x, const RaggedBatch& batch) const override {
    return layers_[static_cast<size_t>(index)](x, batch, index);
  }

  std::vector<Layer> layers_;
};

using BlockDecoder = LayersDecoder<TransformerBlock>;

// A step of a layer, residual included: x [T, hidden] -> [T, hidden].
using LayerPart =
    std::function<mx::array(const mx::array& x, const RaggedBatch& batch)>;

// Of a block that looks at its own rows only, and of one that keeps something
// of each sequence, in states[state].
template <typename Block>
LayerPart rows_part(Block block) {
  return
      [block = std::move(block)](const mx::array& x, const RaggedBatch& batch) {
        return block(x, batch);
      };
}
template <typename Block>
LayerPart state_part(Block block, int state) {
  return [block = std::move(block), state](
             const mx::array& x, const RaggedBatch& batch) {
    return block(x, batch, state);
  };
}

// A decoder whose layers are made of different parts.
class PartsDecoder final : public Decoder {
 public:
  PartsDecoder(DecoderSpine spine, std::vector<std::vector<LayerPart>> layers)
      : Decoder(std::move(spine)), layers_(std::move(layers)) {}

 private:
  mx::array layer(
      int index, const mx::array& x, const RaggedBatch& batch) const override {
    mx::array out = x;
    for (const LayerPart& part : layers_[static_cast<size_t>(index)]) {
      out = part(out, batch);
    }
    return out;
  }

  std::vector<std::vector<LayerPart>> layers_;
};

// Ends strict loading: skips what is known and unneeded (rotary tables, a head
// tied to the embedding), then names what nobody took.
Status finish_weights(
    WeightMap& map, const ModelFiles& files, const DecoderConfig& config);

// The scopes of a decoder's parameters, one per layer, under `model`.
WeightCursor layer_scope(const WeightCursor& model, int index);

}  // namespace rapid
