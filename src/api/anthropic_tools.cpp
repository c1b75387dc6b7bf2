// The tools of the Anthropic dialect.
#include <fmt/format.h>

#include <algorithm>

#include "api/anthropic_common.h"

namespace rapid {
namespace {

constexpr std::string_view kBash = R"({"type": "object", "properties": {
  "command": {"type": "string", "description": "The command to run"},
  "restart": {"type": "boolean", "description": "True starts the shell anew"}
}})";
constexpr std::string_view kEditor = R"({"type": "object", "properties": {
  "command": {"type": "string",
    "enum": ["view", "create", "str_replace", "insert"]},
  "path": {"type": "string"},
  "view_range": {"type": "array", "items": {"type": "integer"}},
  "file_text": {"type": "string"},
  "old_str": {"type": "string"}, "new_str": {"type": "string"},
  "insert_line": {"type": "integer"}, "insert_text": {"type": "string"}
}, "required": ["command", "path"]})";

// Tools that the client runs and whose schema it leaves to us.
struct KnownTool {
  std::string_view type;  // its beginning; a date follows
  std::string_view description;
  std::string_view schema;
};
constexpr KnownTool kKnown[] = {
    {"bash_", "Runs a command in a shell that stays open.", kBash},
    {"text_editor_", "Shows, creates and edits files.", kEditor}};

chat::Tool make_tool(
    std::string name, std::string description, Json schema, bool strict) {
  chat::Tool tool;
  Json function = {
      {"name", name}, {"description", description}, {"parameters", schema}};
  if (strict) {
    function["strict"] = true;
  }
  tool.declaration = {{"type", "function"}, {"function", std::move(function)}};
  tool.name = std::move(name);
  tool.description = std::move(description);
  tool.parameters = std::move(schema);
  return tool;
}

Result<chat::Tool> read_custom(const Fields& fields) {
  RAPID_TRY(const auto name, fields.string("name"));
  if (!name || name->empty()) {
    return missing_field(fields.path("name"), "a name");
  }
  RAPID_TRY(const auto description, fields.string("description"));
  RAPID_TRY(const Json* schema, fields.object("input_schema"));
  RAPID_TRY(const auto strict, fields.boolean("strict"));
  chat::Tool tool = make_tool(
      *name,
      description.value_or(""),
      schema != nullptr ? *schema : Json{{"type", "object"}},
      strict.value_or(false));
  RAPID_TRY(const auto deferred, fields.boolean("defer_loading"));
  tool.deferred = deferred.value_or(false);
  return tool;
}

// {"type": "mcp_toolset", "mcp_server_name", "default_config", "configs"}: a
// server's tools, all but some or only some.
Status read_toolset(const Fields& fields, AnthropicAsk& ask) {
  const std::string type = fields.path("type");
  HostedWish wish{
      .entry = type.substr(0, type.size() - 5),
      .server_field = fields.path("mcp_server_name"),
      .names_field = fields.path("configs")};
  RAPID_TRY(wish.server, fields.string("mcp_server_name"));
  if (!wish.server) {
    return missing_field(wish.server_field, "a server's name");
  }
  const auto enabled = [](const Json& config, bool otherwise) {
    const auto found = config.find("enabled");
    return found != config.end() && found->is_boolean() ? found->get<bool>()
                                                        : otherwise;
  };
  RAPID_TRY(const Json* common, fields.object("default_config"));
  const bool all = common == nullptr || enabled(*common, true);
  if (!all) {
    wish.names.emplace();
  }
  RAPID_TRY(const Json* given, fields.object("configs"));
  const Json configs = given != nullptr ? *given : Json::object();
  for (const auto& [name, config] : configs.items()) {
    if (!config.is_object()) {
      return wrong_field(wish.names_field + "." + name, "an object", config);
    }
    if (!all && enabled(config, all)) {
      wish.names->insert(name);
    } else if (all && !enabled(config, all)) {
      wish.without.insert(name);
    }
  }
  return ask.hosted.add(std::move(wish), ask.request);
}

bool has_toolset(const Json* tools, const std::string& server) {
  return tools != nullptr && std::ranges::any_of(*tools, [&](const Json& each) {
           return each.is_object() &&
                  each.value("type", Json()) == "mcp_toolset" &&
                  each.value("mcp_server_name", Json()) == server;
         });
}

// {"name", "tool_configuration": {"enabled", "allowed_tools"}}: the way before
// toolsets. Addresses and keys are not followed.
Status read_servers(const Fields& fields, AnthropicAsk& ask) {
  RAPID_TRY(const Json* list, fields.array("mcp_servers"));
  RAPID_TRY(const Json* tools, fields.array("tools"));
  for (size_t i = 0; list != nullptr && i < list->size(); ++i) {
    const std::string path = fmt::format("mcp_servers[{}]", i);
    if (!(*list)[i].is_object()) {
      return wrong_field(path, "an object", (*list)[i]);
    }
    const Fields server((*list)[i], path);
    HostedWish wish{.entry = path, .server_field = server.path("name")};
    RAPID_TRY(wish.server, server.string("name"));
    if (!wish.server) {
      return missing_field(wish.server_field, "a server's name");
    }
    if (has_toolset(tools, *wish.server)) {
      continue;
    }
    if (!ask.hosted.tools && !ask.hosted.expected) {
      ask.ignored.push_back(path);
      continue;
    }
    RAPID_TRY(const Json* given, server.object("tool_configuration"));
    if (given != nullptr) {
      const Fields inner(*given, server.path("tool_configuration"));
      RAPID_TRY(const auto on, inner.boolean("enabled"));
      if (!on.value_or(true)) {
        continue;
      }
      wish.names_field = inner.path("allowed_tools");
      if (inner.find("allowed_tools") != nullptr) {
        RAPID_TRY(const auto names, inner.strings("allowed_tools"));
        wish.names.emplace(names.begin(), names.end());
      }
    }
    RAPID_CHECK(ask.hosted.add(std::move(wish), ask.request));
  }
  return {};
}

Status read_list(const Json& list, AnthropicAsk& ask) {
  bool search_by_server = false;
  for (size_t i = 0; i < list.size(); ++i) {
    const std::string path = fmt::format("tools[{}]", i);
    if (!list[i].is_object()) {
      return wrong_field(path, "an object", list[i]);
    }
    const Fields fields(list[i], path);
    RAPID_TRY(const auto type, fields.string("type"));
    if (!type || *type == "custom") {
      RAPID_TRY(auto tool, read_custom(fields));
      ask.request.tools.push_back(std::move(tool));
      continue;
    }
    if (*type == "mcp_toolset" && (ask.hosted.tools || ask.hosted.expected)) {
      RAPID_CHECK(read_toolset(fields, ask));
      continue;
    }
    const auto known = std::ranges::find_if(kKnown, [&](const KnownTool& one) {
      return type->starts_with(one.type);
    });
    RAPID_TRY(const auto name, fields.string("name"));
    if (known != std::end(kKnown) && name && !name->empty()) {
      ask.request.tools.push_back(make_tool(
          *name,
          std::string(known->description),
          *parse_json(known->schema),
          false));
      continue;
    }
    search_by_server |= type->starts_with("tool_search_tool");
    ask.ignored.push_back(path + " of type " + *type);
  }
  // Nobody would look for them.
  for (chat::Tool& tool : ask.request.tools) {
    tool.deferred &= !search_by_server;
  }
  return {};
}

}  // namespace

Status read_anthropic_tools(const Fields& fields, AnthropicAsk& ask) {
  using Kind = chat::ToolChoice::Kind;
  RAPID_TRY(const Json* list, fields.array("tools"));
  if (list != nullptr) {
    RAPID_CHECK(read_list(*list, ask));
  }
  RAPID_CHECK(read_servers(fields, ask));
  RAPID_TRY(const Json* given, fields.object("tool_choice"));
  if (given == nullptr) {
    return {};
  }
  chat::Request& request = ask.request;
  const Fields choice(*given, "tool_choice");
  RAPID_TRY(const auto type, choice.string("type"));
  RAPID_TRY(const auto single, choice.boolean("disable_parallel_tool_use"));
  request.parallel_calls = !single.value_or(false);
  if (type == "auto") {
    request.tool_choice.kind = Kind::automatic;
  } else if (type == "none") {
    request.tool_choice.kind = Kind::none;
  } else if (type == "any") {
    request.tool_choice.kind = Kind::required;
  } else if (type == "tool") {
    RAPID_TRY(const auto name, choice.string("name"));
    request.tool_choice = {Kind::named, name.value_or("")};
  } else {
    return wrong_field(
        "tool_choice.type",
        "auto, any, tool or none",
        given->value("type", Json()));
  }
  const auto named = [&](const chat::Tool& tool) {
    return tool.name == request.tool_choice.name;
  };
  if (request.tool_choice.kind == Kind::required && request.tools.empty()) {
    return wrong_field("tool_choice", "auto or none without tools", *given);
  }
  if (request.tool_choice.kind == Kind::named &&
      std::ranges::none_of(request.tools, named)) {
    return wrong_field(
        "tool_choice.name",
        "the name of one of the tools",
        given->value("name", Json()));
  }
  return {};
}

}  // namespace rapid
