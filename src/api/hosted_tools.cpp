#include "api/hosted_tools.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <set>
#include <utility>

#include "api/tool_backend.h"

namespace rapid {

namespace {

std::string joined(const std::vector<std::string>& words) {
  std::string out;
  for (const std::string& word : words) {
    out += (out.empty() ? "" : ", ") + word;
  }
  return out.empty() ? "none" : out;
}

// "allowed_tools": names, or {"tool_names", "read_only"}.
Status read_allowed(const Fields& entry, HostedWish& wish) {
  const Json* given = entry.find("allowed_tools");
  if (given == nullptr) {
    return {};
  }
  const auto take = [&](const std::vector<std::string>& names) {
    wish.names.emplace(names.begin(), names.end());
  };
  if (!given->is_object()) {
    RAPID_TRY(const auto names, entry.strings("allowed_tools"));
    take(names);
    return {};
  }
  const Fields inner(*given, entry.path("allowed_tools"));
  RAPID_TRY(const auto read_only, inner.boolean("read_only"));
  wish.read_only = read_only.value_or(false);
  if (inner.find("tool_names") != nullptr) {
    RAPID_TRY(const auto names, inner.strings("tool_names"));
    take(names);
  }
  return {};
}

// Who may approve is the operator, beforehand.
Status check_approval(const Fields& entry) {
  const Json* given = entry.find("require_approval");
  if (given == nullptr || *given == "never") {
    return {};
  }
  return wrong_field(
      entry.path("require_approval"),
      "never: what may run was decided when the server was started",
      *given);
}

}  // namespace

HostedTools::HostedTools(
    McpToolBox box, std::vector<std::string> allow, ToolLimits limits)
    : box_(std::move(box)), allow_(std::move(allow)), limits_(limits) {
  tools_ = box_.tools();
  std::erase_if(
      tools_, [this](const chat::Tool& tool) { return !allows(tool.name); });
}

bool HostedTools::allows(std::string_view name) const {
  if (!box_.has(name)) {
    return false;
  }
  const auto fits = [&](std::string_view pattern) {
    return pattern.ends_with('*')
               ? name.starts_with(pattern.substr(0, pattern.size() - 1))
               : name == pattern;
  };
  return std::ranges::any_of(allow_, fits) || box_.always_allowed(name);
}

std::vector<std::string> HostedTools::servers() const {
  std::vector<std::string> out;
  for (const auto& client : box_.clients()) {
    out.push_back(client->config().name);
  }
  return out;
}

Error tools_are_starting() {
  return {
      ErrorCode::busy,
      "the tools that run here are still starting",
      "try again in a moment"};
}

HostedOffer hosted_offer(const ApiContext& context) {
  return {context.hosted_tools(), context.tools_expected};
}

Status HostedOffer::add(const Fields& entry, chat::Request& request) {
  const std::string type = entry.path("type");
  HostedWish wish{
      .entry = type.substr(0, type.size() - 5),
      .server_field = entry.path("server_label"),
      .names_field = entry.path("allowed_tools")};
  RAPID_TRY(wish.server, entry.string("server_label"));
  RAPID_CHECK(check_approval(entry));
  RAPID_CHECK(read_allowed(entry, wish));
  return add(std::move(wish), request);
}

Status HostedOffer::add(HostedWish wish, chat::Request& request) {
  if (!tools && expected) {
    return tools_are_starting();
  }
  if (!tools) {
    const std::string field = wish.entry + ".type";
    return Error{
        ErrorCode::unsupported,
        field + ": this server runs no tools of type \"mcp\"",
        "start it with --mcp",
        field};
  }
  const auto servers = tools->servers();
  const auto& server = wish.server;
  if (server && std::ranges::find(servers, *server) == servers.end()) {
    return wrong_field(
        wish.server_field,
        "one of the servers in this server's mcp.json: " + joined(servers),
        Json(*server));
  }
  size_t added = 0;
  for (const chat::Tool& tool : tools->tools()) {
    const auto origin = tools->box().origin(tool.name);
    if ((server && origin.server != *server) ||
        (wish.read_only && !origin.read_only) ||
        wish.without.contains(origin.tool)) {
      continue;
    }
    if (wish.names && wish.names->erase(origin.tool) == 0 &&
        wish.names->erase(tool.name) == 0) {
      continue;
    }
    const auto same = [&](const chat::Tool& each) {
      return each.name == tool.name;
    };
    if (std::ranges::find(names, tool.name) == names.end()) {
      if (std::ranges::any_of(request.tools, same)) {
        return wrong_field("tools", "one tool of each name", Json(tool.name));
      }
      request.tools.push_back(tool);
      names.push_back(tool.name);
    }
    ++added;
  }
  if (wish.names && !wish.names->empty()) {
    return wrong_field(
        wish.names_field,
        "tools that this server may run",
        Json(*wish.names->begin()));
  }
  if (added == 0) {
    return wrong_field(
        wish.server_field,
        "a server with tools that may run here",
        server ? Json(*server) : Json());
  }
  return {};
}

std::shared_ptr<Backend> HostedOffer::backend(
    std::shared_ptr<Backend> backend, ApiContext& context) const {
  return names.empty()
             ? backend
             : make_tool_backend(std::move(backend), *this, context.background);
}

}  // namespace rapid
