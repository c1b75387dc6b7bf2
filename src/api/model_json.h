// A served model as listings show it.
#pragma once

#include "api/backends.h"
#include "base/json.h"

namespace rapid {

// OpenAI's fields, what the model can, and how it stands. What is not known
// before the first load is left out.
Json model_json(const ModelStatus& model);

// That as openapi.h describes it.
Json model_shape();

}  // namespace rapid
