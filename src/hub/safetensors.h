// safetensors reader: one file, or all shards of model.safetensors.index.json.
// Header sizes, offsets, shapes and dtypes are checked before use, overlaps
// and shapes that do not match their byte range are `corrupt`.
#pragma once

#include <map>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "hub/tensor_view.h"

namespace rapid {

struct SafetensorsHeader {
  std::vector<TensorView> tensors;  // bytes are views into the given span
  std::map<std::string, std::string> metadata;
};

// For one file's bytes, kept alive by the caller (fuzzers use it directly).
Result<SafetensorsHeader> parse_safetensors(std::span<const std::byte> bytes);

// Every tensor of a model folder: the index's shards if there is an index,
// else all *.safetensors. A tensor that the index names and no shard has is
// `corrupt`; a shard that is missing on disk is `not_found`.
Result<std::vector<TensorView>> open_safetensors_folder(
    const std::string& folder);

}  // namespace rapid
