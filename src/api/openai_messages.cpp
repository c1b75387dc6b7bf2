#include "api/openai_messages.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "api/billing_header.h"

namespace rapid {

namespace {

constexpr std::array<std::string_view, 6> kRoles = {
    "system", "developer", "user", "assistant", "tool", "function"};

std::string item(std::string_view path, size_t index) {
  return fmt::format("{}[{}]", path, index);
}

Result<std::string> required_string(
    const Fields& fields, std::string_view name) {
  RAPID_TRY(const auto value, fields.string(name));
  if (!value) {
    return missing_field(fields.path(name), "a string");
  }
  return *value;
}

Result<std::string> read_part(const Json& part, const std::string& path) {
  if (!part.is_object()) {
    return wrong_field(path, "a string or a {\"type\": \"text\"} object", part);
  }
  const Fields fields(part, path);
  RAPID_TRY(const auto type, required_string(fields, "type"));
  if (type == "text") {
    return required_string(fields, "text");
  }
  if (type == "refusal") {
    return required_string(fields, "refusal");
  }
  return unsupported_field(
      fmt::format("{} of type \"{}\"", path, type),
      "this model reads text parts only");
}

// A string, or a list of text parts, joined by line breaks.
Result<std::string> read_content(const Json& content, const std::string& path) {
  if (content.is_string()) {
    return content.get<std::string>();
  }
  if (!content.is_array()) {
    return wrong_field(path, "a string or a list of parts", content);
  }
  std::string text;
  for (size_t i = 0; i < content.size(); ++i) {
    auto part = content[i].is_string()
                    ? Result<std::string>(content[i].get<std::string>())
                    : read_part(content[i], item(path, i));
    if (!part) {
      Error error = part.error();
      error.param = item(path, i);
      return error;
    }
    text += (i > 0 ? "\n" : "") + *part;
  }
  return text;
}

// Text as it is, "" for nothing, else its JSON.
std::string loose_text(const Fields& fields, std::string_view name) {
  const Json* value = fields.find(name);
  if (value == nullptr) {
    return "";
  }
  return value->is_string() ? value->get<std::string>() : dump_json(*value);
}

// A call that went wrong once must not end the conversation: what is no call
// is taken as far as it goes, and the history repairs it (engine/history.h).
Result<chat::ToolCall> read_call(const Json& call, const std::string& path) {
  if (!call.is_object()) {
    return wrong_field(path, "an object", call);
  }
  const Fields fields(call, path);
  chat::ToolCall out;
  out.id = loose_text(fields, "id");
  const Json* function = fields.find("function");
  const bool wrapped = function != nullptr && function->is_object();
  if (!wrapped && fields.find("name") == nullptr) {
    return missing_field(fields.path("function"), "an object");
  }
  const Fields inner(wrapped ? *function : call, path);
  out.name = loose_text(inner, "name");
  out.arguments = loose_text(inner, "arguments");
  return out;
}

Status read_assistant(const Fields& fields, chat::Message& message) {
  for (const char* name : {"reasoning_content", "reasoning"}) {
    const Json* value = fields.find(name);
    if (value != nullptr && value->is_string() && message.reasoning.empty()) {
      message.reasoning = value->get<std::string>();
    }
  }
  RAPID_TRY(const Json* calls, fields.array("tool_calls"));
  for (size_t i = 0; calls != nullptr && i < calls->size(); ++i) {
    RAPID_TRY(
        auto call, read_call((*calls)[i], item(fields.path("tool_calls"), i)));
    message.tool_calls.push_back(std::move(call));
  }
  // As it was before tool_calls; the history gives it an id.
  if (const Json* call = fields.find("function_call");
      call != nullptr && message.tool_calls.empty()) {
    RAPID_TRY(auto made, read_call(*call, fields.path("function_call")));
    message.tool_calls.push_back(std::move(made));
  }
  return {};
}

Result<chat::Message> read_message(const Json& json, const std::string& path) {
  if (!json.is_object()) {
    return wrong_field(path, "an object", json);
  }
  const Fields fields(json, path);
  chat::Message message;
  RAPID_TRY(message.role, required_string(fields, "role"));
  if (std::ranges::find(kRoles, message.role) == kRoles.end()) {
    return wrong_field(
        fields.path("role"),
        "system, developer, user, assistant or tool",
        *fields.find("role"));
  }
  if (message.role == "function") {
    message.role = "tool";  // as it was before tools
  }
  const Json* content = fields.find("content");
  const bool result = message.role == "tool";
  if (result && content != nullptr && !content->is_array()) {
    message.content = loose_text(fields, "content");
  } else if (content != nullptr) {
    RAPID_TRY(message.content, read_content(*content, fields.path("content")));
    if (message.role == "system" || message.role == "developer") {
      message.content = without_billing_header(std::move(message.content));
    }
  } else if (message.role != "assistant" && !result) {
    return missing_field(fields.path("content"), "a string");
  }
  RAPID_TRY(const auto name, fields.string("name"));
  message.name = name.value_or("");
  if (message.role == "assistant") {
    RAPID_CHECK(read_assistant(fields, message));
  }
  if (result) {
    message.tool_call_id = loose_text(fields, "tool_call_id");
  }
  return message;
}

// `json`: {"type", "function": {...}}; `path` is of its function.
Result<chat::Tool> read_function(const Json& json, const std::string& path) {
  const Fields inner(json["function"], path);
  chat::Tool tool;
  RAPID_TRY(tool.name, required_string(inner, "name"));
  if (tool.name.empty()) {
    return wrong_field(inner.path("name"), "a name", Json(""));
  }
  RAPID_TRY(const auto description, inner.string("description"));
  tool.description = description.value_or("");
  RAPID_TRY(const Json* parameters, inner.object("parameters"));
  tool.parameters = parameters != nullptr ? *parameters : Json::object();
  tool.declaration = json;
  return tool;
}

Status check_choice(
    std::string_view field, const Json& choice, const chat::Request& request) {
  using Kind = chat::ToolChoice::Kind;
  if (request.tool_choice.kind == Kind::named &&
      std::ranges::none_of(request.tools, [&](const chat::Tool& tool) {
        return tool.name == request.tool_choice.name;
      })) {
    return wrong_field(field, "the name of one of the tools", choice);
  }
  return {};
}

Result<chat::Tool> read_tool(const Json& json, const std::string& path) {
  if (!json.is_object()) {
    return wrong_field(path, "an object", json);
  }
  const Fields fields(json, path);
  RAPID_TRY(const auto type, required_string(fields, "type"));
  if (type != "function") {
    return unsupported_field(
        fmt::format("{} of type \"{}\"", path, type),
        "tools are of type \"function\"");
  }
  RAPID_TRY(const Json* function, fields.object("function"));
  if (function == nullptr) {
    return missing_field(fields.path("function"), "an object");
  }
  return read_function(json, fields.path("function"));
}

// `functions` and `function_call`, as they were before tools.
Status read_functions(const Fields& fields, chat::Request& request) {
  using Kind = chat::ToolChoice::Kind;
  RAPID_TRY(const Json* list, fields.array("functions"));
  for (size_t i = 0; list != nullptr && i < list->size(); ++i) {
    const std::string path = item("functions", i);
    if (!(*list)[i].is_object()) {
      return wrong_field(path, "an object", (*list)[i]);
    }
    RAPID_TRY(
        auto tool,
        read_function(
            Json{{"type", "function"}, {"function", (*list)[i]}}, path));
    request.tools.push_back(std::move(tool));
  }
  request.parallel_calls = false;
  const Json* choice = fields.find("function_call");
  if (choice == nullptr || *choice == "auto") {
    return {};
  }
  if (*choice == "none") {
    request.tool_choice.kind = Kind::none;
    return {};
  }
  if (!choice->is_object()) {
    return wrong_field("function_call", "auto, none or a name", *choice);
  }
  RAPID_TRY(
      request.tool_choice.name,
      required_string(Fields(*choice, "function_call"), "name"));
  request.tool_choice.kind = Kind::named;
  return check_choice("function_call", *choice, request);
}

Result<chat::ToolChoice> read_choice(const Json& json, const Fields& fields) {
  using Kind = chat::ToolChoice::Kind;
  if (json.is_string()) {
    const auto word = json.get<std::string>();
    if (word == "auto") {
      return chat::ToolChoice{Kind::automatic, ""};
    }
    if (word == "none") {
      return chat::ToolChoice{Kind::none, ""};
    }
    if (word == "required") {
      return chat::ToolChoice{Kind::required, ""};
    }
  }
  const std::string path = fields.path("tool_choice");
  if (json.is_object() && json.value("type", Json()) == "function") {
    const Fields outer(json, path);
    RAPID_TRY(const Json* function, outer.object("function"));
    if (function == nullptr) {
      return missing_field(outer.path("function"), "an object");
    }
    RAPID_TRY(
        auto name,
        required_string(Fields(*function, outer.path("function")), "name"));
    return chat::ToolChoice{Kind::named, std::move(name)};
  }
  return wrong_field(
      path, "auto, none, required or a function's name object", json);
}

}  // namespace

Status read_openai_messages(const Fields& fields, chat::Request& request) {
  const std::string path = fields.path("messages");
  RAPID_TRY(const Json* list, fields.array("messages"));
  if (list == nullptr) {
    return missing_field(path, "a list of messages");
  }
  if (list->empty()) {
    return wrong_field(path, "at least one message", *list);
  }
  for (size_t i = 0; i < list->size(); ++i) {
    RAPID_TRY(auto message, read_message((*list)[i], item(path, i)));
    request.messages.push_back(std::move(message));
  }
  return {};
}

namespace {

// Those of the request come first, so that a name is found to be there twice.
Status read_tools(
    const Json& list, chat::Request& request, HostedOffer* hosted) {
  const auto is_hosted = [&](const Json& tool) {
    return hosted != nullptr && tool.is_object() &&
           tool.value("type", Json()) == "mcp";
  };
  for (size_t i = 0; i < list.size(); ++i) {
    if (!is_hosted(list[i])) {
      RAPID_TRY(auto tool, read_tool(list[i], item("tools", i)));
      request.tools.push_back(std::move(tool));
    }
  }
  for (size_t i = 0; i < list.size(); ++i) {
    if (is_hosted(list[i])) {
      RAPID_CHECK(hosted->add(Fields(list[i], item("tools", i)), request));
    }
  }
  return {};
}

}  // namespace

Status read_openai_tools(
    const Fields& fields, chat::Request& request, HostedOffer* hosted) {
  RAPID_TRY(const Json* list, fields.array("tools"));
  if (list != nullptr) {
    RAPID_CHECK(read_tools(*list, request, hosted));
  }
  RAPID_TRY(const auto parallel, fields.boolean("parallel_tool_calls"));
  request.parallel_calls = parallel.value_or(true);
  if (request.tools.empty() && fields.find("functions") != nullptr) {
    return read_functions(fields, request);
  }
  const Json* choice = fields.find("tool_choice");
  if (choice == nullptr) {
    return {};
  }
  RAPID_TRY(request.tool_choice, read_choice(*choice, fields));
  using Kind = chat::ToolChoice::Kind;
  RAPID_CHECK(check_choice("tool_choice", *choice, request));
  if (request.tool_choice.kind == Kind::required && request.tools.empty()) {
    return wrong_field("tool_choice", "auto or none without tools", *choice);
  }
  return {};
}

}  // namespace rapid
