#include <mlx/version.h>

#include "bench/build_info.h"

namespace rapid {

std::string mlx_version() {
  return mlx::core::version();
}

}  // namespace rapid
