#include "base/home.h"

#include <cstdlib>

namespace rapid {

std::filesystem::path home_dir() {
  if (const char* home = std::getenv("RAPID_MLX_HOME"); home && *home) {
    return home;
  }
  const char* user = std::getenv("HOME");
  return std::filesystem::path(user && *user ? user : ".") / ".rapid-mlx";
}

std::filesystem::path models_dir() {
  return home_dir() / "models";
}

std::filesystem::path cache_dir() {
  return home_dir() / "cache";
}

}  // namespace rapid
