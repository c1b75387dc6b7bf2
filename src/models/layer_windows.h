// Which layers slide, as Qwen's configurations say it: layer_types
// ("sliding_attention", "full_attention") where it is there, else all layers
// from max_window_layers on; none where use_sliding_window says no.
//
// Errors: `unsupported` for another kind of layer, `corrupt` for a list of the
// wrong length.
#pragma once

#include <vector>

#include "models/config.h"

namespace rapid {

// The window of each layer, 0 = full attention.
Result<std::vector<int>> read_layer_windows(
    const Json& config, const DecoderConfig& shape);

// layer_types alone, true = sliding; empty where there is none.
Result<std::vector<bool>> read_layer_types(const Json& config, int layers);

}  // namespace rapid
