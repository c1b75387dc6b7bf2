#include "base/log.h"

#include <spdlog/sinks/stdout_color_sinks.h>

#include <cstdlib>

namespace rapid {

void init_logging() {
  auto logger = std::make_shared<spdlog::logger>(
      "rapid-mlx", std::make_shared<spdlog::sinks::stderr_color_sink_mt>());
  logger->set_pattern("%H:%M:%S.%e %^%l%$ %v");
  if (const char* level = std::getenv("RAPID_MLX_LOG")) {
    logger->set_level(spdlog::level::from_str(level));
  }
  spdlog::set_default_logger(std::move(logger));
}

}  // namespace rapid
