// What this build runs, and on what: for the front, which has no MLX.
#pragma once

#include <string>
#include <string_view>

namespace rapid {

// By the names that config.json and GGUF give architectures.
bool runs_architecture(std::string_view name);

// What --device auto takes: "cpu", "metal" or "cuda".
std::string auto_device();

}  // namespace rapid
