#include "api/lane.h"

#include <array>
#include <string_view>

namespace rapid {
namespace {

constexpr size_t kMostBytes = 256;

// The narrowest first: an agent of a session before the session.
constexpr std::array<std::string_view, 7> kHeaders = {
    "x-rapid-mlx-lane",
    "x-claude-code-agent-id",
    "x-agent-id",
    "x-claude-code-session-id",
    "x-session-id",
    "session_id",
    "x-affinity"};
constexpr std::array<std::string_view, 2> kFields = {
    "prompt_cache_key", "user"};

}  // namespace

std::string request_lane(const HttpRequest& http, const Json& body) {
  for (const std::string_view name : kHeaders) {
    const auto found = http.headers.find(std::string(name));
    if (found != http.headers.end() && !found->second.empty()) {
      return found->second.substr(0, kMostBytes);
    }
  }
  for (const std::string_view name : kFields) {
    const auto found = body.find(name);
    if (found != body.end() && found->is_string() &&
        !found->get_ref<const std::string&>().empty()) {
      return found->get<std::string>().substr(0, kMostBytes);
    }
  }
  return "";
}

}  // namespace rapid
