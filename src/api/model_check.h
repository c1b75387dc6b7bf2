// Whether a model can be run here: api/ knows files and names, not what the
// engine was built with.
#pragma once

#include <functional>
#include <string>

#include "base/result.h"

namespace rapid {

using ModelCheck = std::function<Status(
    const std::string& model, const std::string& architecture)>;

// Of this process; any thread. Null: nobody knows, all are taken.
void set_model_check(ModelCheck check);

// What it says; fine without one.
Status check_model(const std::string& model, const std::string& architecture);

}  // namespace rapid
