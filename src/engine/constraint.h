// What the engine must hold an answer to: a response format, or calls where
// tool_choice asks for them. Reasoning stays free: the grammar starts behind
// its closing tag, or allows a thought first.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "chat/request.h"
#include "engine/front.h"
#include "formats/format.h"

namespace rapid {

struct Constraint {
  std::optional<GrammarSource> grammar;  // none: all is free
  std::vector<int32_t> after;            // GenerateRequest::grammar_after
  // `grammar` where the reasoning is over; none = the same.
  std::optional<GrammarSource> behind;
  // "place: keyword": what schemas lost because the compiler lacks it.
  std::vector<std::string> relaxed;
};

// Errors: invalid_argument, a schema that cannot be compiled.
Result<Constraint> make_constraint(
    const TextModel& model,
    const chat::Request& request,
    const ReasoningStyle* reasoning,
    Thinking thinking);

// tool_choice wants calls and nothing else: their grammar holds the answer.
bool wants_calls(const chat::Request& request);

// Some tool says `strict`, and the model is free to call it.
bool wants_strict_calls(const chat::Request& request);

// One call of the tools that `input` allows, behind the text `prefix`: as the
// model's format writes it or, `bare`, as a JSON object.
GrammarSource strict_call(
    const TextModel& model,
    const FormatInput& input,
    std::string_view prefix,
    bool bare);

}  // namespace rapid
