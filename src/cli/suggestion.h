// What `serve` takes when no model is named, and whether one that is named has
// room, before it is fetched.
#pragma once

#include <functional>
#include <string>

#include "base/json.h"
#include "base/result.h"
#include "cli/serve_models.h"

namespace rapid {

// Of the models here the one that suits this machine best; when none is here,
// the one that `recipe` proposes, if the hub can be reached; else the smallest
// of the catalogue. Says on stderr what it took and why.
std::string suggest_model(const ServedOptions& options);

// What `recipe` tells, for a server under that limit: its own models give way
// when another is loaded. The machine is measured once.
std::function<Json(int context)> recipe_of(const ServedOptions& options);

// Errors: too_large with the numbers and with what would fit; unsupported, for
// an architecture that this build does not run. A model of which nothing is
// known before it is there has room.
Status check_model_fits(const std::string& model, const ServedOptions& options);

}  // namespace rapid
