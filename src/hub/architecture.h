// A model's architecture without the rest of it, as ModelFiles has it; "" where
// the files say nothing or cannot be read: ModelFiles::open() tells why.
#pragma once

#include <string>

#include "base/json.h"

namespace rapid {

// Of a .gguf file or a folder.
std::string architecture_of(const std::string& path);

// Of a config.json.
std::string model_type_of(const Json& config);

}  // namespace rapid
