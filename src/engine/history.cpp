#include "engine/history.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <set>
#include <utility>

#include "engine/history_repairs.h"

namespace rapid {
namespace {

using chat::Message;
using chat::ToolCall;

// Ids and names -----------------------------------------------------------

// Calls of the assistant message that results belong to at the moment.
struct OpenCalls {
  std::vector<ToolCall> calls;
  std::vector<bool> answered;

  std::optional<size_t> find(const Message& result) const {
    std::optional<size_t> by_name;
    std::optional<size_t> any;
    for (size_t i = calls.size(); i-- > 0;) {
      if (answered[i]) {
        continue;
      }
      if (!result.tool_call_id.empty() && calls[i].id == result.tool_call_id) {
        return i;
      }
      any = i;
      if (calls[i].name == result.name) {
        by_name = i;
      }
    }
    return by_name ? by_name : any;
  }
};

const ToolCall* call_of(
    const std::vector<Message>& messages, const std::string& id) {
  for (size_t i = messages.size(); i-- > 0 && !id.empty();) {
    for (const ToolCall& call : messages[i].tool_calls) {
      if (call.id == id) {
        return &call;
      }
    }
  }
  return nullptr;
}

// Nine letters and digits, a function of the place.
void fill_ids(std::vector<Message>& messages) {
  int index = 0;
  for (Message& message : messages) {
    std::set<std::string> taken;
    for (const ToolCall& call : message.tool_calls) {
      taken.insert(call.id);
    }
    for (ToolCall& call : message.tool_calls) {
      while (call.id.empty()) {
        std::string id = fmt::format("call{:05}", index++ % 100000);
        if (taken.insert(id).second) {
          call.id = std::move(id);
        }
      }
    }
  }
}

// A call keeps its place by the id; without one it takes the first unanswered
// call of its name, else the first unanswered.
void match_results(std::vector<Message>& messages) {
  OpenCalls open;
  for (Message& message : messages) {
    if (!message.tool_calls.empty()) {
      open.calls = message.tool_calls;
      open.answered.assign(open.calls.size(), false);
      continue;
    }
    if (message.role != "tool") {
      continue;
    }
    const ToolCall* known = call_of(messages, message.tool_call_id);
    const auto place = open.find(message);
    const bool exact = place && open.calls[*place].id == message.tool_call_id;
    if (place && (exact || known == nullptr)) {
      open.answered[*place] = true;
      known = &open.calls[*place];
    }
    if (known != nullptr) {
      message.tool_call_id = known->id;
      message.name = message.name.empty() ? known->name : message.name;
    }
    if (message.name.empty()) {
      message.name = "tool";
    }
    if (message.tool_call_id.empty()) {
      message.tool_call_id = "call00000";
    }
  }
}

// Results right behind their calls in the order of the calls: a template that
// prints no ids leaves the order as the only link.
void sort_results(std::vector<Message>& messages) {
  for (size_t i = 0; i < messages.size(); ++i) {
    if (messages[i].tool_calls.empty()) {
      continue;
    }
    size_t end = i + 1;
    while (end < messages.size() && messages[end].role == "tool") {
      ++end;
    }
    const auto& calls = messages[i].tool_calls;
    const auto place = [&](const Message& result) {
      return std::ranges::find(calls, result.tool_call_id, &ToolCall::id) -
             calls.begin();
    };
    std::stable_sort(
        messages.begin() + static_cast<std::ptrdiff_t>(i) + 1,
        messages.begin() + static_cast<std::ptrdiff_t>(end),
        [&](const Message& a, const Message& b) {
          return place(a) < place(b);
        });
  }
}

// Into the template's input -----------------------------------------------

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
  input.messages = Json::array();
  for (const Message& message : history.messages) {
    input.messages.push_back(message_json(message, history));
  }
  input.tools = history.tools;
  return render(input);
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

}  // namespace

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
  for (Message& message : messages) {
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
