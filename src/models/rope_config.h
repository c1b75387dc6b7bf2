// The rotation that a configuration describes, in any of its forms:
//
//   rope_parameters {rope_type, rope_theta, ...}         transformers 5
//   rope_parameters {full_attention: {...}, ...}         one per kind of layer
//   rope_scaling {rope_type | type, ...} + rope_theta    older; GGUF's metadata
//
// Kinds and their formulas are those of transformers' modeling_rope_utils.py:
// default, linear, llama3, yarn, longrope, dynamic, proportional.
//
// Longrope has two forms, by the length of the whole sequence
// (docs/decisions/0025-longrope-by-length.md): a border, where the context is
// longer than the trained length, else the short form alone. Dynamic is the
// plain rotation, as a context ends where it would begin.
#pragma once

#include <string_view>

#include "base/json.h"
#include "base/result.h"
#include "kernels/elementwise.h"

namespace rapid {

struct RopeRequest {
  float base = 10000.0f;  // where no rope_theta is given
  int head_dim = 0;
  std::string_view kind = {};  // of the layer: a key of rope_parameters
  int context = 0;             // that the model is loaded for; 0 = its own
};

// Errors: `corrupt` names the key; `unsupported` the kind.
Result<RopeOptions> read_rope(const Json& config, const RopeRequest& request);

// The same for one object that says everything.
Result<RopeOptions> rope_from_config(
    const Json& rope, float base, int head_dim);

// The same for a model with one rotation.
Result<RopeOptions> rope_of_model(const Json& config, float base, int head_dim);

}  // namespace rapid
