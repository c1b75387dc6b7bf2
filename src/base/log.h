// One logger for the program, to stderr, so that stdout stays the product's.
// Level from RAPID_MLX_LOG (trace debug info warn error off), default info.
#pragma once

#include <spdlog/spdlog.h>

namespace rapid {

void init_logging();

}  // namespace rapid
