// The messages of a request as a chat template takes them: a history that
// always renders. Pure values; no threads, no engine.
//
// Three steps. (1) Canonical form, always: arguments become a JSON object,
// missing ids and names are filled in, results stand in the order of their
// calls. (2) What the template would drop in silence (TemplateSupport) is
// written as text. (3) Render; if the template raises, repairs are tried in a
// fixed order: each alone, then one after the other. What a well-formed
// history renders to is what the template makes of it, byte for byte; ids of
// calls that the template takes names from are the one exception.
//
// Arguments: a JSON object stays as sent, key order included; a JSON string
// that holds one is opened; nothing, null and white space are {}; anything
// else (cut JSON, a list, a number) is {"_raw": "<the text as sent>"}.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "chat/message.h"
#include "engine/template_support.h"
#include "formats/tool_set.h"

namespace rapid {

// Calls of one turn as the model itself would write them.
using RenderCalls = std::function<std::string(
    std::span<const chat::ToolCall>, const ToolSet& declared)>;

// As the format's usual syntax writes them; null where it has none.
RenderCalls render_calls_of(const OutputFormat& format);

struct HistoryOptions {
  TemplateSupport support;
  bool knows_developer = false;  // else that role is `system`
  RenderCalls render_calls;      // null: <tool_call>\n{...}\n</tool_call>
};

Json repaired_arguments(std::string_view text);

// Step 1. Idempotent.
std::vector<chat::Message> canonical_history(
    std::vector<chat::Message> messages, bool knows_developer);

// All steps. `input` brings tools and extra; its messages are replaced.
// Errors: the template's own message, when no repair helps.
Result<RenderedPrompt> render_history(
    const RenderTemplate& render,
    const std::vector<chat::Message>& messages,
    TemplateInput input,
    const HistoryOptions& options);

// What the template puts behind the question for a call of `probe` with the
// argument key: "value"; "" when it knows no calls.
std::string rendered_call(
    const RenderTemplate& render, const HistoryOptions& options);

// JSON as Python's json.dumps writes it (", " and ": "), which models know.
std::string spaced_json(const Json& value);

}  // namespace rapid
