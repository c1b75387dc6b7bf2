// Adapters (LoRA) from a folder, for a loaded model:
//
//   mlx-lm   adapter_config.json with lora_parameters {rank, scale},
//            adapters.safetensors: <module>.lora_a [K, rank], .lora_b [rank, N]
//   PEFT     adapter_config.json with r, lora_alpha, use_rslora and patterns,
//            adapter_model.safetensors: base_model.model.<module>.lora_A.weight
//            [rank, K], .lora_B.weight [N, rank]
//
// A module is one of the model's adaptable() matrices, by its name from
// "layers." on. Everything in the file is used, or the load fails and says
// what is not: no module is left out in silence.
//
//   RAPID_TRY(AdapterPtr sql, load_adapter("sql", folder, *model));
#pragma once

#include <string>

#include "models/model.h"

namespace rapid {

// Engine thread. Errors: not_found; corrupt, naming the tensor or key;
// unsupported for other kinds (DoRA, biases, modules saved whole).
Result<AdapterPtr> load_adapter(
    const std::string& name, const std::string& folder, const Model& model);

}  // namespace rapid
