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

namespace rapid {

enum class QuantMode : uint8_t { affine, mxfp4, mxfp8, nvfp4 };

struct QuantScheme {
  QuantMode mode = QuantMode::affine;
  int bits = 4;         // affine: 2 3 4 5 6 8; mxfp4, nvfp4: 4; mxfp8: 8
  int group_size = 64;  // affine: 32 64 128; mxfp4, mxfp8: 32; nvfp4: 16
};

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
