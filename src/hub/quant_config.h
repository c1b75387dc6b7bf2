// How an MLX safetensors model is quantised: config.json's "quantization"
// (or "quantization_config") object with per-layer overrides.
//
// A quantised module <path> has <path>.weight (packed in uint32),
// <path>.scales and, for affine, <path>.biases.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "base/json.h"
#include "base/result.h"
#include "hub/quant_scheme.h"

namespace rapid {

class QuantConfig {
 public:
  // A config without quantisation gives an empty one. Errors: unsupported
  // names the mode, bits or group that this build does not know.
  static Result<QuantConfig> from_config(const Json& config);

  // The scheme of one module path ("model.layers.3.mlp.down_proj"), or
  // nothing where an override says false or the model is not quantised.
  std::optional<QuantScheme> scheme_for(std::string_view module) const;

 private:
  std::optional<QuantScheme> base_;
  std::map<std::string, std::optional<QuantScheme>, std::less<>> overrides_;
};

}  // namespace rapid
