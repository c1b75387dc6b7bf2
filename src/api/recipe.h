// What GET /v1/recipe tells: api/ knows models that are served, not machines.
#pragma once

#include <functional>

#include "base/json.h"

namespace rapid {

// What this machine should run with a context of so many tokens, 0 = the usual.
using RecipeSource = std::function<Json(int context)>;

// Of this process; any thread. Null: there is none, and the route says so.
void set_recipe_source(RecipeSource source);

}  // namespace rapid
