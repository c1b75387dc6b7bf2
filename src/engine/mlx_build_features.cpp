#include <algorithm>

#include "engine/build_features.h"
#include "mlx/backend/cuda/cuda.h"
#include "mlx/backend/metal/metal.h"
#include "models/registry.h"

namespace rapid {

bool runs_architecture(std::string_view name) {
  static const auto names = ModelRegistry::global().names();
  return std::ranges::find(names, name) != names.end();
}

std::string auto_device() {
  return mx::metal::is_available() ? "metal"
         : mx::cu::is_available()  ? "cuda"
                                   : "cpu";
}

}  // namespace rapid
