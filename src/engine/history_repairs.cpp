#include "engine/history_repairs.h"

#include <algorithm>
#include <cctype>
#include <iterator>
#include <utility>

#include "base/fnv.h"

namespace rapid {
namespace {

using chat::Message;
using chat::ToolCall;
using Messages = std::vector<Message>;

void append(std::string& text, const std::string& more, const char* gap) {
  if (!text.empty() && !more.empty()) {
    text += gap;
  }
  text += more;
}

std::string calls_text(const History& history, const Message& message) {
  if (history.options->render_calls) {
    return history.options->render_calls(message.tool_calls, *history.declared);
  }
  std::string out;
  for (const ToolCall& call : message.tool_calls) {
    Json body = Json::object();
    body["name"] = call.name;
    body["arguments"] = repaired_arguments(call.arguments);
    append(out, "<tool_call>\n" + spaced_json(body) + "\n</tool_call>", "\n");
  }
  return out;
}

std::string result_text(const Message& message) {
  return "<tool_response>\n" + message.content + "\n</tool_response>";
}

enum class Flat { results, calls, calls_beside_content };

// Calls become text of their message, their results one user message.
void flatten(History& history, Flat what) {
  Messages out;
  bool flat = what != Flat::calls_beside_content;  // results that come next
  bool joins = false;  // the last message is made of results
  for (Message& message : history.messages) {
    if (message.role != "tool") {
      joins = false;
      if (what == Flat::calls_beside_content) {
        flat = !message.tool_calls.empty() && !message.content.empty();
      }
      if (flat && what != Flat::results && !message.tool_calls.empty()) {
        append(message.content, calls_text(history, message), "\n");
        message.tool_calls.clear();
      }
    } else if (flat) {
      if (joins) {
        append(out.back().content, result_text(message), "\n");
        continue;
      }
      joins = true;
      message = {.role = "user", .content = result_text(message)};
    }
    out.push_back(std::move(message));
  }
  history.messages = std::move(out);
}

bool is_system(const Message& message) {
  return message.role == "system" || message.role == "developer";
}

size_t systems_at_start(const Messages& messages) {
  const auto end = std::ranges::find_if_not(messages, is_system);
  return static_cast<size_t>(end - messages.begin());
}

// The id itself if it is nine letters and digits, else nine made of it.
std::string short_id(const std::string& id) {
  const auto plain = [](unsigned char c) { return std::isalnum(c) != 0; };
  if (id.size() == 9 && std::ranges::all_of(id, plain)) {
    return id;
  }
  Fnv1a hash;
  hash.add(id);
  std::string out;
  uint64_t rest = hash.value();
  for (int i = 0; i < 9; ++i, rest /= 36) {
    out += "0123456789abcdefghijklmnopqrstuvwxyz"[rest % 36];
  }
  return out;
}

void shorten_ids(History& history) {
  for (Message& message : history.messages) {
    for (ToolCall& call : message.tool_calls) {
      call.id = short_id(call.id);
    }
    if (message.role == "tool") {
      message.tool_call_id = short_id(message.tool_call_id);
    }
  }
}

// The result of `call`, made by message `from`: the nearest one behind it with
// its id, up to the next call of that id; else one in front of it.
Messages::iterator result_of(
    Messages& messages,
    std::vector<bool>& used,
    size_t from,
    const std::string& id) {
  const auto fits = [&](size_t i) {
    return !used[i] && messages[i].role == "tool" &&
           messages[i].tool_call_id == id;
  };
  for (size_t i = from + 1; i < messages.size(); ++i) {
    if (fits(i)) {
      return messages.begin() + static_cast<std::ptrdiff_t>(i);
    }
    if (std::ranges::count(messages[i].tool_calls, id, &ToolCall::id) > 0) {
      break;
    }
  }
  for (size_t i = 0; i < from; ++i) {
    if (fits(i)) {
      return messages.begin() + static_cast<std::ptrdiff_t>(i);
    }
  }
  return messages.end();
}

// Behind each call exactly its result; results of no call as user text.
void pair_results(History& history) {
  Messages& old = history.messages;
  std::vector<bool> used(old.size(), false);
  std::vector<Messages> behind(old.size());
  for (size_t i = 0; i < old.size(); ++i) {
    for (const ToolCall& call : old[i].tool_calls) {
      const auto found = result_of(old, used, i, call.id);
      if (found != old.end()) {
        used[static_cast<size_t>(found - old.begin())] = true;
        behind[i].push_back(*found);
      } else {
        behind[i].push_back(
            {.role = "tool", .tool_call_id = call.id, .name = call.name});
      }
    }
  }
  Messages out;
  for (size_t i = 0; i < old.size(); ++i) {
    if (used[i]) {
      continue;
    }
    if (old[i].role == "tool") {
      out.push_back({.role = "user", .content = result_text(old[i])});
      continue;
    }
    out.push_back(std::move(old[i]));
    std::ranges::move(behind[i], std::back_inserter(out));
  }
  old = std::move(out);
}

void drop_empty_answers(History& history) {
  std::erase_if(history.messages, [](const Message& message) {
    return message.role == "assistant" && message.content.empty() &&
           message.reasoning.empty() && message.tool_calls.empty();
  });
}

// Content beside reasoning and calls is reasoning, too.
void content_to_reasoning(History& history) {
  for (Message& message : history.messages) {
    if (!message.tool_calls.empty() && !message.reasoning.empty()) {
      append(message.reasoning, message.content, "\n\n");
      message.content.clear();
    }
  }
}

void join_neighbours(History& history) {
  Messages out;
  for (Message& message : history.messages) {
    const bool same = !out.empty() && out.back().role == message.role &&
                      message.role != "tool" && out.back().tool_calls.empty() &&
                      (message.tool_calls.empty() || history.form.with_content);
    if (!same) {
      out.push_back(std::move(message));
      continue;
    }
    out.back().origin = -1;
    append(out.back().content, message.content, "\n\n");
    append(out.back().reasoning, message.reasoning, "\n\n");
    out.back().tool_calls = std::move(message.tool_calls);
  }
  history.messages = std::move(out);
}

// Between results and a user's message, and where two speak in a row.
void add_empty_answers(History& history) {
  Messages out;
  for (Message& message : history.messages) {
    if (!out.empty() && message.role == "user" && out.back().role == "tool") {
      out.push_back({.role = "assistant"});
    }
    out.push_back(std::move(message));
  }
  history.messages = std::move(out);
}

// Some templates want a user's message first, or one at all.
void begin_with_user(History& history) {
  Messages& messages = history.messages;
  const size_t at = systems_at_start(messages);
  if (at == messages.size() || messages[at].role != "user" ||
      messages[at].content.starts_with("<tool_response>")) {
    messages.insert(
        messages.begin() + static_cast<std::ptrdiff_t>(at), {.role = "user"});
  }
}

void all_as_text(History& history) {
  flatten_calls(history);
  drop_empty_answers(history);
  join_neighbours(history);
  begin_with_user(history);
}

// The whole conversation as what one user says.
void one_message(History& history) {
  flatten_tools(history);
  Message whole{.role = "user"};
  for (const Message& message : history.messages) {
    append(whole.content, message.role + ": " + message.content, "\n\n");
  }
  history.messages = {std::move(whole)};
}

}  // namespace

void flatten_results(History& history) {
  flatten(history, Flat::results);
}
void flatten_calls(History& history) {
  flatten(history, Flat::calls);
}
void flatten_calls_beside_content(History& history) {
  flatten(history, Flat::calls_beside_content);
}

void split_content_off(History& history) {
  Messages out;
  for (Message& message : history.messages) {
    if (!message.tool_calls.empty() && !message.content.empty()) {
      Message calls{.role = message.role, .origin = message.origin};
      calls.tool_calls = std::exchange(message.tool_calls, {});
      out.push_back(std::move(message));
      message = std::move(calls);
    }
    out.push_back(std::move(message));
  }
  history.messages = std::move(out);
}

void flatten_tools(History& history) {
  if (history.tools.is_null()) {
    return;
  }
  std::string text =
      "# Tools\n\nYou may call the functions that are declared within "
      "<tools></tools>:\n<tools>";
  for (const Json& tool : history.tools) {
    text += "\n" + spaced_json(tool);
  }
  const Message example{
      .role = "assistant",
      .tool_calls = {{"", "FUNCTION_NAME", R"({"PARAMETER": "VALUE"})"}}};
  text += "\n</tools>\n\nTo call a function, write:\n" +
          calls_text(history, example);
  Messages& messages = history.messages;
  if (messages.empty() || !is_system(messages[0])) {
    messages.insert(messages.begin(), {.role = "system"});
  }
  append(messages[0].content, text, "\n\n");
  history.tools = nullptr;
}

void split_parallel_calls(History& history) {
  Messages& old = history.messages;
  Messages out;
  for (size_t i = 0; i < old.size(); ++i) {
    if (old[i].tool_calls.size() < 2) {
      out.push_back(std::move(old[i]));
      continue;
    }
    const std::vector<ToolCall> calls = std::move(old[i].tool_calls);
    size_t end = i + 1;
    while (end < old.size() && old[end].role == "tool") {
      ++end;
    }
    Message next = std::move(old[i]);
    std::vector<bool> used(end, false);
    for (const ToolCall& call : calls) {
      next.tool_calls = {call};
      out.push_back(std::exchange(next, {.role = "assistant"}));
      for (size_t r = i + 1; r < end; ++r) {
        if (!used[r] && old[r].tool_call_id == call.id) {
          used[r] = true;
          out.push_back(std::move(old[r]));
        }
      }
    }
    for (size_t r = i + 1; r < end; ++r) {
      if (!used[r]) {
        out.push_back(std::move(old[r]));
      }
    }
    i = end - 1;
  }
  old = std::move(out);
}

void join_systems(History& history) {
  Messages& messages = history.messages;
  const size_t count = systems_at_start(messages);
  for (size_t i = 1; i < count; ++i) {
    append(messages[0].content, messages[i].content, "\n\n");
  }
  if (count > 1) {
    messages.erase(
        messages.begin() + 1,
        messages.begin() + static_cast<std::ptrdiff_t>(count));
  }
}

void late_system_to_user(History& history) {
  Messages& messages = history.messages;
  for (size_t i = systems_at_start(messages); i < messages.size(); ++i) {
    if (is_system(messages[i])) {
      messages[i].role = "user";
    }
  }
}

void fold_system(History& history) {
  join_systems(history);
  late_system_to_user(history);
  Messages& messages = history.messages;
  if (messages.empty() || !is_system(messages[0])) {
    return;
  }
  if (messages.size() > 1 && messages[1].role == "user") {
    append(messages[0].content, messages[1].content, "\n\n");
    messages.erase(messages.begin() + 1);
  }
  messages[0].role = "user";
}

const std::vector<Repair>& history_repairs() {
  static const std::vector<Repair> all = {
      shorten_ids,
      pair_results,
      drop_empty_answers,
      content_to_reasoning,
      join_systems,
      late_system_to_user,
      join_neighbours,
      add_empty_answers,
      begin_with_user};
  return all;
}

const std::vector<Repair>& last_repairs() {
  static const std::vector<Repair> all = {
      all_as_text, fold_system, join_neighbours, one_message};
  return all;
}

}  // namespace rapid
