#include "engine/engine.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace rapid {

Error no_adapter(const EngineInfo& info, const std::string& name) {
  return {
      ErrorCode::not_found,
      fmt::format("the adapter \"{}\" is not loaded here", name),
      info.adapters.empty()
          ? "start the server with --adapter NAME=FOLDER"
          : fmt::format("adapters: {}", fmt::join(info.adapters, ", ")),
      "adapter"};
}

}  // namespace rapid
