#include "engine/history.h"

#include <utility>

#include "engine/history_ids.h"
#include "engine/history_repairs.h"
#include "formats/call_syntax.h"

namespace rapid {
namespace {

using chat::Message;
using chat::ToolCall;

Json call_json(const ToolCall& call, const CallSupport& form) {
  Json arguments = repaired_arguments(call.arguments);
  Json out = Json::object();
  out["id"] = call.id;
  out["type"] = "function";
  out["function"]["name"] = call.name;
  out["function"]["arguments"] =
      form.string_arguments ? Json(spaced_json(arguments)) : arguments;
  return out;
}

Json message_json(const Message& message, const History& history) {
  Json out = Json::object();
  out["role"] = message.role;
  out["content"] = message.content;
  if (message.content.empty() && !message.tool_calls.empty() &&
      history.form.null_content) {
    out["content"] = nullptr;
  }
  if (!message.reasoning.empty()) {
    out["thinking"] = message.reasoning;  // both names are in use
    out["reasoning_content"] = message.reasoning;
  }
  if (!message.tool_calls.empty()) {
    Json calls = Json::array();
    for (const ToolCall& call : message.tool_calls) {
      calls.push_back(call_json(call, history.form));
    }
    out["tool_calls"] = std::move(calls);
  }
  if (!message.tool_call_id.empty()) {
    out["tool_call_id"] = message.tool_call_id;
  }
  if (!message.name.empty()) {
    out["name"] = message.name;
  }
  return out;
}

Result<RenderedPrompt> attempt(
    const RenderTemplate& render,
    TemplateInput& input,
    const History& history) {
  std::vector<Message> numbered;
  const CallIds ids = history.options->support.ids;
  if (ids != CallIds::as_sent) {
    numbered = numbered_calls(history.messages, ids);
  }
  const auto& messages = numbered.empty() ? history.messages : numbered;
  input.messages = Json::array();
  for (const Message& message : messages) {
    input.messages.push_back(message_json(message, history));
  }
  input.tools = history.tools;
  auto out = render(input);
  for (size_t i = 0; out && i < out->messages.size(); ++i) {
    MessageSpan& span = out->messages[i];
    span.origin = messages.at(span.message).origin;
  }
  return out;
}

// What the template would leave out without a word.
void keep_everything(History& history) {
  const TemplateSupport& support = history.options->support;
  if (!support.tools) {
    flatten_tools(history);
  }
  history.form =
      history.tools.is_null() ? support.without_tools : support.with_tools;
  if (!history.form.calls) {
    flatten_calls(history);
  }
  if (!history.form.with_content && history.form.after_content) {
    split_content_off(history);
  } else if (!history.form.with_content) {
    flatten_calls_beside_content(history);
  }
  if (!history.form.parallel) {
    split_parallel_calls(history);
  }
  if (!history.form.results) {
    flatten_results(history);
  }
  if (!support.systems) {
    join_systems(history);
  }
  if (!support.late_system) {
    late_system_to_user(history);
  }
  if (!support.system) {
    fold_system(history);
  }
}

// What renderers of calls must know: names and types.
FormatInput declared_tools(const Json& tools) {
  FormatInput out;
  for (const Json& tool : tools.is_array() ? tools : Json::array()) {
    const bool wrapped = tool.is_object() && tool.contains("function");
    const Json& function = wrapped ? tool.at("function") : tool;
    if (function.is_object() && function.contains("name") &&
        function.at("name").is_string()) {
      out.tools.push_back(
          {.name = function.at("name").get<std::string>(),
           .parameters = function.value("parameters", Json::object())});
    }
  }
  return out;
}

}  // namespace

RenderCalls render_calls_of(const OutputFormat& format) {
  if (format.syntaxes().empty()) {
    return nullptr;
  }
  return [syntax = format.syntaxes()[0]](
             std::span<const ToolCall> calls, const ToolSet& declared) {
    return syntax->render(calls, declared);
  };
}

std::string rendered_call(
    const RenderTemplate& render, const HistoryOptions& options) {
  const TemplateSupport& support = options.support;
  TemplateInput input;
  input.add_generation_prompt = false;
  if (!support.without_tools.calls) {
    if (!support.with_tools.calls) {
      return "";
    }
    Json tool = Json::object();
    tool["type"] = "function";
    tool["function"] = {
        {"name", "probe"},
        {"description", "A tool."},
        {"parameters", {{"type", "object"}, {"properties", Json::object()}}}};
    input.tools = Json::array({std::move(tool)});
  }
  constexpr std::string_view kQuestion = "probe-question";
  Message call{.role = "assistant"};
  call.tool_calls = {{"", "probe", R"({"key": "value"})"}};
  const auto prompt = render_history(
      render,
      {{.role = "user", .content = std::string(kQuestion)}, std::move(call)},
      std::move(input),
      options);
  const size_t at = prompt ? prompt->text.rfind(kQuestion) : std::string::npos;
  return at == std::string::npos ? ""
                                 : prompt->text.substr(at + kQuestion.size());
}

std::string spaced_json(const Json& value) {
  std::string out;
  const char* gap = "";
  if (value.is_object()) {
    out = "{";
    for (const auto& [key, item] : value.items()) {
      out += gap + dump_json(Json(key)) + ": " + spaced_json(item);
      gap = ", ";
    }
    return out + "}";
  }
  if (value.is_array()) {
    out = "[";
    for (const Json& item : value) {
      out += gap + spaced_json(item);
      gap = ", ";
    }
    return out + "]";
  }
  return dump_json(value);
}

Json repaired_arguments(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r\n";
  if (text.find_first_not_of(kSpace) == std::string_view::npos) {
    return Json::object();
  }
  auto parsed = parse_json(text);
  if (parsed && parsed->is_string()) {
    auto inner = parse_json(parsed->get_ref<const std::string&>());
    if (inner && inner->is_object()) {
      return *std::move(inner);
    }
    if (parsed->get_ref<const std::string&>().find_first_not_of(kSpace) ==
        std::string::npos) {
      return Json::object();
    }
  }
  if (parsed && parsed->is_object()) {
    return *std::move(parsed);
  }
  if (parsed && parsed->is_null()) {
    return Json::object();
  }
  Json out = Json::object();
  out["_raw"] = text;
  return out;
}

std::vector<Message> canonical_history(
    std::vector<Message> messages, bool knows_developer) {
  for (size_t i = 0; i < messages.size(); ++i) {
    Message& message = messages[i];
    message.origin = static_cast<int>(i);
    if (message.role == "developer" && !knows_developer) {
      message.role = "system";
    }
    for (ToolCall& call : message.tool_calls) {
      call.arguments = dump_json(repaired_arguments(call.arguments));
      call.name = call.name.empty() ? "tool" : call.name;
    }
  }
  fill_ids(messages);
  match_results(messages);
  sort_results(messages);
  return messages;
}

Result<RenderedPrompt> render_history(
    const RenderTemplate& render,
    const std::vector<Message>& messages,
    TemplateInput input,
    const HistoryOptions& options) {
  History start;
  start.messages = canonical_history(messages, options.knows_developer);
  start.tools = input.tools;
  start.options = &options;
  const ToolSet declared(declared_tools(input.tools));
  start.declared = &declared;
  keep_everything(start);
  auto first = attempt(render, input, start);
  if (first) {
    return first;
  }
  // A failing render ends early; only the one that succeeds is paid in full.
  for (const Repair repair : history_repairs()) {
    History alone = start;
    repair(alone);
    if (auto prompt = attempt(render, input, alone)) {
      return prompt;
    }
  }
  History all = start;
  const auto& last = last_repairs();
  std::vector<Repair> order = history_repairs();
  order.insert(order.end(), last.begin(), last.end());
  for (const Repair repair : order) {
    repair(all);
    if (auto prompt = attempt(render, input, all)) {
      return prompt;
    }
  }
  return first;
}

}  // namespace rapid
