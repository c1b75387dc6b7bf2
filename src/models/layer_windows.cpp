#include "models/layer_windows.h"

#include <fmt/format.h>

#include <algorithm>

namespace rapid {

Result<std::vector<bool>> read_layer_types(const Json& config, int layers) {
  const Json& kinds = ConfigReader(config).at("layer_types");
  std::vector<bool> out;
  if (kinds.is_null()) {
    return out;
  }
  if (!kinds.is_array() || kinds.size() != static_cast<size_t>(layers)) {
    return Error{
        ErrorCode::corrupt,
        fmt::format(
            "model configuration: expected {} entries in layer_types", layers),
        "",
        "layer_types"};
  }
  for (const Json& kind : kinds) {
    if (kind != "sliding_attention" && kind != "full_attention") {
      return Error{
          ErrorCode::unsupported,
          fmt::format("layers of kind {} are not supported", dump_json(kind)),
          "supported: full_attention, sliding_attention",
          "layer_types"};
    }
    out.push_back(kind == "sliding_attention");
  }
  return out;
}

Result<std::vector<int>> read_layer_windows(
    const Json& config, const DecoderConfig& shape) {
  const ConfigReader in(config);
  std::vector<int> out(static_cast<size_t>(shape.layers), 0);
  RAPID_TRY(
      const std::vector<bool> sliding, read_layer_types(config, shape.layers));
  if (!in.flag_or("use_sliding_window", !sliding.empty())) {
    return out;
  }
  if (!sliding.empty()) {
    for (size_t i = 0; i < out.size(); ++i) {
      out[i] = sliding[i] ? shape.sliding_window : 0;
    }
    return out;
  }
  const Json& first = in.at("max_window_layers");
  const int from = first.is_number_integer() ? first.get<int>() : 28;
  for (int i = std::max(from, 0); i < shape.layers; ++i) {
    out[static_cast<size_t>(i)] = shape.sliding_window;
  }
  return out;
}

}  // namespace rapid
