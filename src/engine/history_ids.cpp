#include "engine/history_ids.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <set>
#include <utility>

namespace rapid {
namespace {

using chat::Message;
using chat::ToolCall;

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

}  // namespace

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

std::vector<Message> numbered_calls(
    std::vector<Message> messages, CallIds ids) {
  struct Call {
    std::string old_id, id;
    bool answered;
  };
  std::vector<Call> calls;
  size_t number = 0;
  for (Message& message : messages) {
    if (ids == CallIds::numbered_in_message && !message.tool_calls.empty()) {
      number = 0;
    }
    const auto first = static_cast<std::ptrdiff_t>(calls.size());
    for (ToolCall& call : message.tool_calls) {
      std::string id = fmt::format("functions.{}:{}", call.name, number++);
      calls.push_back({std::exchange(call.id, id), id, false});
    }
    // The last in a message is looked at first; turn them for parallel calls.
    std::reverse(calls.begin() + first, calls.end());
    if (message.role == "tool") {
      const auto had = [&](const Call& call) {
        return call.old_id == message.tool_call_id;
      };
      const auto open =
          std::find_if(calls.rbegin(), calls.rend(), [&](const Call& call) {
            return had(call) && !call.answered;
          });
      const auto found = open != calls.rend()
                             ? open
                             : std::find_if(calls.rbegin(), calls.rend(), had);
      if (found != calls.rend()) {
        found->answered = true;
        message.tool_call_id = found->id;
      }
    }
  }
  return messages;
}

}  // namespace rapid
