#include "models/moe_config.h"

#include <fmt/format.h>

namespace rapid {

Result<int> read_expert_count(const Json& config) {
  const ConfigReader in(config);
  for (const auto* key : {"num_experts", "num_local_experts"}) {
    if (in.has(key)) {
      return in.count(key);
    }
  }
  return in.count("n_routed_experts");
}

Result<int> read_whole(const Json& config, std::string_view key, int fallback) {
  const Json& value = ConfigReader(config).at(key);
  if (value.is_null()) {
    return fallback;
  }
  if (!value.is_number_integer() || value > (1 << 30) || value < -(1 << 30)) {
    return Error{
        ErrorCode::corrupt,
        fmt::format("model configuration: expected a whole number in {}", key),
        "the model's config.json or GGUF metadata is incomplete",
        std::string(key)};
  }
  return value.get<int>();
}

}  // namespace rapid
