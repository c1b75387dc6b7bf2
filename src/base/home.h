// Where state lives: $RAPID_MLX_HOME, else ~/.rapid-mlx.
#pragma once

#include <filesystem>

namespace rapid {

std::filesystem::path home_dir();
std::filesystem::path models_dir();  // home_dir() / "models"
std::filesystem::path cache_dir();   // home_dir() / "cache"

}  // namespace rapid
