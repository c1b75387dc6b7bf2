#include "api/responses_tools.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

namespace rapid {

namespace {

using Notes = std::vector<std::string>;

constexpr const char* kInput = "input";  // the argument of a custom tool

Result<std::string> required_name(const Fields& fields) {
  RAPID_TRY(const auto name, fields.string("name"));
  if (!name || name->empty()) {
    return missing_field(fields.path("name"), "a name");
  }
  return *name;
}

// The form that chat templates know.
Json declaration_of(const chat::Tool& tool, bool strict) {
  Json function = {{"name", tool.name}};
  if (!tool.description.empty()) {
    function["description"] = tool.description;
  }
  function["parameters"] = tool.parameters;
  if (strict) {
    function["strict"] = true;
  }
  return {{"type", "function"}, {"function", std::move(function)}};
}

// A grammar in the declaration is part of what the model must know.
std::string custom_description(const std::string& text, const Fields& fields) {
  const Json* format = fields.find("format");
  if (format == nullptr || !format->is_object() ||
      !format->contains("definition")) {
    return text;
  }
  const Json& definition = (*format)["definition"];
  return fmt::format(
      "{}{}The input follows this {} grammar:\n{}",
      text,
      text.empty() ? "" : "\n\n",
      format->value("syntax", std::string("lark")),
      definition.is_string() ? definition.get<std::string>()
                             : dump_json(definition));
}

Json custom_parameters() {
  return {
      {"type", "object"},
      {"properties",
       {{kInput,
         {{"type", "string"},
          {"description", "The whole input of the tool, as plain text."}}}}},
      {"required", Json::array({kInput})},
      {"additionalProperties", false}};
}

class Reader {
 public:
  Reader(
      chat::Request& request,
      ResponsesTools& tools,
      HostedOffer& hosted,
      Notes& notes)
      : request_(request), tools_(tools), offer_(hosted), notes_(notes) {}

  Status read(const Json& json, const std::string& path) {
    if (!json.is_object()) {
      return wrong_field(path, "an object", json);
    }
    const Fields fields(json, path);
    RAPID_TRY(const auto type, fields.string("type"));
    if (!type) {
      return missing_field(fields.path("type"), "a type");
    }
    if (*type == "namespace") {
      return read_namespace(fields);
    }
    if (*type == "mcp" && offer_.tools) {
      return read_mcp(fields, json);
    }
    if (*type != "function" && *type != "custom") {
      hosted_.insert(*type);
      notes_.push_back(fmt::format(
          "{}: a tool of type \"{}\" is not offered to the model: nothing here "
          "runs it",
          path,
          *type));
      tools_.list.push_back(json);
      return {};
    }
    RAPID_CHECK(add(fields, "", "", *type == "custom"));
    tools_.list.push_back(json);
    if (Json& stated = tools_.list.back(); *type == "function") {
      stated.emplace("parameters", nullptr);
      stated.emplace("strict", nullptr);
    }
    return {};
  }

  bool is_hosted(const std::string& type) const {
    return hosted_.contains(type);
  }

 private:
  Status read_mcp(const Fields& fields, const Json& json) {
    if (fields.find("server_label") == nullptr) {
      return missing_field(fields.path("server_label"), "a name");
    }
    RAPID_CHECK(offer_.add(fields, request_));
    for (const std::string& name : offer_.names) {
      const auto origin = offer_.tools->box().origin(name);
      tools_.by_name.emplace(name, ResponsesTool{origin.server, origin.tool});
    }
    Json stated = json;
    stated.erase("authorization");
    stated.erase("headers");
    tools_.list.push_back(std::move(stated));
    return {};
  }

  Status read_namespace(const Fields& fields) {
    RAPID_TRY(const std::string name, required_name(fields));
    RAPID_TRY(const auto about, fields.string("description"));
    RAPID_TRY(const Json* list, fields.array("tools"));
    std::string preface = about.value_or("");
    Json stated = Json::array();
    for (size_t i = 0; list != nullptr && i < list->size(); ++i) {
      const Json& one = (*list)[i];
      const std::string path = fmt::format("{}[{}]", fields.path("tools"), i);
      if (!one.is_object()) {
        return wrong_field(path, "an object", one);
      }
      const Fields inner(one, path);
      RAPID_TRY(const auto type, inner.string("type"));
      if (type && *type != "function" && *type != "custom") {
        notes_.push_back(fmt::format(
            "{}: a tool of type \"{}\" is not offered", path, *type));
        continue;
      }
      RAPID_CHECK(add(inner, name, preface, type == "custom"));
      preface.clear();  // said once, by its first tool
      stated.push_back(one);
    }
    tools_.list.push_back(
        {{"type", "namespace"},
         {"name", name},
         {"description", about.value_or("")},
         {"tools", std::move(stated)}});
    return {};
  }

  Status add(
      const Fields& fields,
      const std::string& name_space,
      const std::string& preface,
      bool custom) {
    RAPID_TRY(const std::string name, required_name(fields));
    RAPID_TRY(const auto about, fields.string("description"));
    RAPID_TRY(const Json* parameters, fields.object("parameters"));
    RAPID_TRY(const auto strict, fields.boolean("strict"));
    chat::Tool tool;
    tool.name = flat_tool_name(name_space, name);
    if (!tools_.by_name
             .emplace(tool.name, ResponsesTool{name_space, name, custom})
             .second) {
      notes_.push_back(fmt::format(
          "{}: another tool is called \"{}\", this one is left out",
          fields.path("name"),
          tool.name));
      return {};
    }
    tool.description = about.value_or("");
    if (custom) {
      tool.description = custom_description(tool.description, fields);
      tool.parameters = custom_parameters();
    } else {
      tool.parameters = parameters != nullptr ? *parameters : Json::object();
    }
    if (!preface.empty()) {
      tool.description =
          preface + (tool.description.empty() ? "" : "\n\n") + tool.description;
    }
    tool.declaration = declaration_of(tool, strict.value_or(false) && !custom);
    request_.tools.push_back(std::move(tool));
    return {};
  }

  chat::Request& request_;
  ResponsesTools& tools_;
  HostedOffer& offer_;
  Notes& notes_;
  std::set<std::string> hosted_;
};

// The flat name that {"type", "name", "namespace"} means; "" = none of ours.
std::string named_tool(const Json& json, const ResponsesTools& tools) {
  const auto text = [&](const char* key) {
    const auto found = json.find(key);
    return found != json.end() && found->is_string() ? found->get<std::string>()
                                                     : std::string();
  };
  const std::string name = flat_tool_name(
      text(text("type") == "mcp" ? "server_label" : "namespace"), text("name"));
  return tools.by_name.contains(name) ? name : "";
}

Error not_a_tool(const Json& json) {
  return wrong_field("tool_choice", "one of the tools of this request", json);
}

// {"type": "allowed_tools", "mode", "tools"}: the others are not shown.
Status read_allowed(
    const Json& json, const ResponsesTools& tools, chat::Request& request) {
  const Fields fields(json, "tool_choice");
  RAPID_TRY(const auto mode, fields.string("mode"));
  RAPID_TRY(const Json* list, fields.array("tools"));
  std::set<std::string> allowed;
  for (const Json& one : list != nullptr ? *list : Json::array()) {
    if (const auto name = one.is_object() ? named_tool(one, tools) : "";
        !name.empty()) {
      allowed.insert(name);
    }
  }
  std::erase_if(request.tools, [&](const chat::Tool& tool) {
    return !allowed.contains(tool.name);
  });
  if (mode == "required") {
    request.tool_choice.kind = chat::ToolChoice::Kind::required;
  } else if (mode && *mode != "auto") {
    return wrong_field("tool_choice.mode", "auto or required", Json(*mode));
  }
  return {};
}

Status read_choice(
    const Json& json,
    const Reader& reader,
    const ResponsesTools& tools,
    chat::Request& request) {
  using Kind = chat::ToolChoice::Kind;
  if (json == "auto") {
    return {};
  }
  if (json == "none" || json == "required") {
    request.tool_choice.kind = json == "none" ? Kind::none : Kind::required;
    return {};
  }
  if (!json.is_object()) {
    return wrong_field(
        "tool_choice", "auto, none, required or a tool's object", json);
  }
  RAPID_TRY(const auto type, Fields(json, "tool_choice").string("type"));
  if (type == "allowed_tools") {
    return read_allowed(json, tools, request);
  }
  if (type && reader.is_hosted(*type)) {
    return unsupported_field(
        fmt::format("tool_choice of type \"{}\"", *type),
        "only functions and custom tools are run, by the client");
  }
  const std::string name = named_tool(json, tools);
  if (name.empty()) {
    return not_a_tool(json);
  }
  request.tool_choice = {Kind::named, name};
  return {};
}

}  // namespace

std::string flat_tool_name(std::string_view name_space, std::string_view name) {
  if (name_space.empty()) {
    return std::string(name);
  }
  return fmt::format(
      "{}{}{}", name_space, name_space.ends_with("__") ? "" : "__", name);
}

std::string custom_tool_arguments(const std::string& input) {
  return dump_json({{kInput, input}});
}

std::string custom_tool_input(const std::string& arguments) {
  const auto json = parse_json(arguments);
  if (json && json->is_object() && json->contains(kInput) &&
      (*json)[kInput].is_string()) {
    return (*json)[kInput].get<std::string>();
  }
  return arguments;
}

Result<ResponsesTools> read_responses_tools(
    const Fields& fields,
    chat::Request& request,
    HostedOffer& hosted,
    Notes& notes) {
  ResponsesTools tools;
  Reader reader(request, tools, hosted, notes);
  RAPID_TRY(const Json* list, fields.array("tools"));
  for (size_t i = 0; list != nullptr && i < list->size(); ++i) {
    RAPID_CHECK(reader.read((*list)[i], fmt::format("tools[{}]", i)));
  }
  RAPID_TRY(const auto parallel, fields.boolean("parallel_tool_calls"));
  request.parallel_calls = parallel.value_or(true);
  if (const Json* choice = fields.find("tool_choice")) {
    tools.choice = *choice;
    RAPID_CHECK(read_choice(*choice, reader, tools, request));
  }
  if (request.tool_choice.kind == chat::ToolChoice::Kind::required &&
      request.tools.empty()) {
    return wrong_field(
        "tool_choice", "auto or none without tools", tools.choice);
  }
  return tools;
}

}  // namespace rapid
