// Which modules of a model are quantised how, as MLX-LM chooses. No MLX.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "engine/convert.h"
#include "hub/model_files.h"

namespace rapid {

struct ConvertScheme {
  int group_size = 0;
  int bits = 0;
  std::string mode;
};

// What happens to the values before they are cast and packed.
enum class ConvertChange {
  none,
  plus_one,
  taps_first,     // [C, 1, K] -> [C, K, 1]
  latent_keys,    // [heads (keys + values), R] -> [heads, R, keys]
  latent_values,  // -> [heads, values, R]
};

struct ConvertTensor {
  std::vector<const TensorView*> from;  // several are stacked
  std::string name;                     // in the new folder
  std::optional<ConvertScheme> scheme;
  int half = -1;  // 0, 1: of the rows
  ConvertChange change = ConvertChange::none;
  int heads = 0;  // of latent_keys and latent_values
  int keys = 0;
  bool cast = true;

  uint64_t bytes() const;  // that are read
};

struct ConvertPlan {
  ConvertScheme base;
  std::vector<ConvertTensor> tensors;  // in the order of the model
  std::string dtype;                   // "" = as stored
  Json config;                         // of the new folder
};

Result<ConvertPlan> plan_conversion(
    const ModelFiles& files, const ConvertOptions& options);

}  // namespace rapid
