// What a config.json says of a model's size: parameters by kind, what a token
// reads, what a sequence keeps. Arithmetic on the configuration alone, nothing
// is opened; it goes by the fields that are there, not by names of models.
//
//   RAPID_TRY(auto shape, model_shape(config));
//   shape.states(16).bytes(32768);                // of a sequence
//
// Errors: unsupported, for fields that change shapes in a way not known here.
#pragma once

#include <cstdint>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "engine/memory_plan.h"

namespace rapid {

struct ModelShape {
  int layers = 0;
  int blocks = 0;  // attention, recurrent and feed-forward, one by one
  int expert_layers = 0;
  int recurrent_layers = 0;
  int hidden = 0;
  int widest = 0;  // of a layer's activations of one token
  int vocabulary = 0;
  int context = 0;
  // Matrices, which quantisation takes: of experts, and the others with
  // embedding and head.
  uint64_t expert_params = 0;
  uint64_t matrix_params = 0;
  uint64_t plain_params = 0;   // norms, convolutions, biases: 16 bits
  uint64_t vision_params = 0;  // of an image tower, which is not loaded
  // Of the first two, what one token multiplies with.
  uint64_t active_expert_params = 0;
  uint64_t active_matrix_params = 0;

  struct KvLayers {  // a run of attention layers
    int count = 0;
    int width = 0;    // keys and values of a token
    int window = 0;   // 0 = keeps all
    int queries = 0;  // width of a token's queries, all heads
    int rate = 1;     // tokens that share one such width
    int bits = 0;     // of each value; 0 = as asked
  };
  std::vector<KvLayers> attention;
  uint64_t recurrent_bytes = 0;  // of a sequence, float32

  uint64_t head_params() const {
    return static_cast<uint64_t>(vocabulary) * static_cast<uint64_t>(hidden);
  }
  uint64_t params() const {
    return expert_params + matrix_params + plain_params;
  }
  // `kv_bits` 32, 16, 8 or 4, as --kv-bits.
  StateCost states(int kv_bits) const;
  // Operations of attention over a prompt of so many tokens.
  double attention_flops(int tokens) const;
};

Result<ModelShape> model_shape(const Json& config);

}  // namespace rapid
