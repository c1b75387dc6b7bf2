// What a benchmark was run with. Costs nothing and touches no device.
#pragma once

#include <string>

namespace rapid {

std::string mlx_version();  // of the library that was loaded

}  // namespace rapid
