// Changes to a canonical history that make it acceptable to a template which
// refuses or drops something. Each is idempotent and loses no text. For
// history.cpp.
#pragma once

#include <vector>

#include "engine/history.h"

namespace rapid {

struct History {
  std::vector<chat::Message> messages;
  Json tools;  // null = none
  CallSupport form;
  const HistoryOptions* options = nullptr;
  const ToolSet* declared = nullptr;  // never null while repairs run
};

using Repair = void (*)(History&);

// Calls and results as text, for templates that know neither.
void flatten_calls(History& history);
// Only calls that stand beside content.
void flatten_calls_beside_content(History& history);
// Or those in a message of their own, behind the content's.
void split_content_off(History& history);
// `tool` messages as user messages.
void flatten_results(History& history);
// Tool declarations as text of the system message.
void flatten_tools(History& history);
// One call a message, each followed by its results.
void split_parallel_calls(History& history);
// The first few system messages become one.
void join_systems(History& history);
// A system message that is not at the start becomes a user's.
void late_system_to_user(History& history);
// System text at the head of the next user message.
void fold_system(History& history);

// In the order in which they are tried when a template raises; each keeps
// calls as calls.
const std::vector<Repair>& history_repairs();
// Tried on top of all of those: calls as text, in the end one user message.
const std::vector<Repair>& last_repairs();

}  // namespace rapid
