// The messages of the Ollama dialect: arguments are objects, results name
// their tool, and call ids are optional.
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "api/ollama_common.h"

namespace rapid {
namespace {

constexpr std::array<std::string_view, 5> kRoles = {
    "system", "developer", "user", "assistant", "tool"};

Status read_calls(const Fields& fields, chat::Message& message) {
  RAPID_TRY(const Json* calls, fields.array("tool_calls"));
  for (size_t i = 0; calls != nullptr && i < calls->size(); ++i) {
    const std::string path =
        fmt::format("{}[{}]", fields.path("tool_calls"), i);
    if (!(*calls)[i].is_object()) {
      return wrong_field(path, "an object", (*calls)[i]);
    }
    const Fields call((*calls)[i], path);
    RAPID_TRY(const Json* function, call.object("function"));
    if (function == nullptr) {
      return missing_field(call.path("function"), "an object");
    }
    const Fields inner(*function, call.path("function"));
    chat::ToolCall out;
    RAPID_TRY(const auto id, call.string("id"));
    RAPID_TRY(const auto name, inner.string("name"));
    out.id = id.value_or("");
    out.name = name.value_or("");
    if (const Json* arguments = inner.find("arguments")) {
      out.arguments = arguments->is_string() ? arguments->get<std::string>()
                                             : dump_json(*arguments);
    }
    message.tool_calls.push_back(std::move(out));
  }
  return {};
}

// In the question that is an error; later turns still carry it.
Status read_images(
    const Fields& fields, bool last, chat::Message& message, OllamaAsk& ask) {
  RAPID_TRY(const Json* images, fields.array("images"));
  if (images == nullptr || images->empty()) {
    return {};
  }
  if (last) {
    return unsupported_field(
        fields.path("images"), "this model reads text only");
  }
  ask.ignored.push_back(fields.path("images"));
  message.content += "\n[image: not shown, this model reads text only]";
  return {};
}

}  // namespace

Status read_ollama_messages(const Fields& fields, OllamaAsk& ask) {
  RAPID_TRY(const Json* list, fields.array("messages"));
  for (size_t i = 0; list != nullptr && i < list->size(); ++i) {
    const std::string path = fmt::format("messages[{}]", i);
    if (!(*list)[i].is_object()) {
      return wrong_field(path, "an object", (*list)[i]);
    }
    const Fields inner((*list)[i], path);
    chat::Message message;
    RAPID_TRY(const auto role, inner.string("role"));
    if (!role || std::ranges::find(kRoles, *role) == kRoles.end()) {
      return wrong_field(
          inner.path("role"),
          "system, user, assistant or tool",
          (*list)[i].value("role", Json()));
    }
    message.role = *role;
    RAPID_TRY(const auto content, inner.string("content"));
    message.content = content.value_or("");
    RAPID_CHECK(read_images(inner, i + 1 == list->size(), message, ask));
    if (message.role == "assistant") {
      RAPID_TRY(const auto thinking, inner.string("thinking"));
      message.reasoning = thinking.value_or("");
      RAPID_CHECK(read_calls(inner, message));
    } else if (message.role == "tool") {
      RAPID_TRY(const auto id, inner.string("tool_call_id"));
      RAPID_TRY(const auto name, inner.string("tool_name"));
      message.tool_call_id = id.value_or("");
      message.name = name.value_or("");
    }
    ask.request.messages.push_back(std::move(message));
  }
  return {};
}

}  // namespace rapid
