// The model that commands take when none is named: the first of the catalogue.
#pragma once

#include <string>

namespace rapid {

std::string default_model();

}  // namespace rapid
