// A second table of token vectors, with a part for each layer, and what a layer
// makes of its part (per-layer inputs of Gemma 3n and 4).
//
//   TokenParts  ids, x [T, hidden] embedded -> [T, layers part]:
//               (norm(W x / sqrt(hidden)) + sqrt(part) table[ids]) / sqrt(2),
//               the norm over each part; ids outside the table have row 0
//   TokenPart   x [T, hidden], all parts -> residual +
//               norm(back(gelu(gate x) * this layer's part))
#pragma once

#include <optional>

#include "nn/embedding.h"
#include "nn/rms_norm.h"

namespace rapid {

struct TokenPartOptions {
  int hidden = 0;
  int part = 0;  // width of a layer's own
  int layers = 0;
  int rows = 0;  // of the table
  int vocabulary = 0;
  float norm_eps = 1e-6f;
};

class TokenParts {
 public:
  // embed_tokens_per_layer, per_layer_model_projection and
  // per_layer_projection_norm below the cursor.
  static Result<TokenParts> load(
      const WeightCursor& model, const TokenPartOptions& options);

  mx::array operator()(const mx::array& ids, const mx::array& x) const;

 private:
  TokenParts(const TokenPartOptions& o, Embedding table, RmsNorm norm)
      : options_(o), table_(std::move(table)), norm_(std::move(norm)) {}

  TokenPartOptions options_;
  Embedding table_;
  ProjectionPtr project_;
  RmsNorm norm_;  // the scales are folded into it
};

class TokenPart {
 public:
  // per_layer_input_gate, per_layer_projection and post_per_layer_input_norm.
  static Result<TokenPart> load(
      const WeightCursor& layer, const TokenPartOptions& options, int index);

  mx::array operator()(
      const mx::array& x,
      const mx::array& parts,
      const std::optional<mx::array>& residual = std::nullopt) const;

 private:
  ProjectionPtr gate_;
  ProjectionPtr back_;
  int column_ = 0;
};

}  // namespace rapid
