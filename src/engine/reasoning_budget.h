// How long a model may think: from what the request says to a number of
// tokens, and the text that ends a thought when they are spent.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "chat/request.h"
#include "formats/reasoning.h"

namespace rapid {

// `reasoning_max_tokens`, else by effort (minimal 256, low 512, medium 2048,
// high 8192 tokens) unless the chat template reads the effort itself. None =
// as long as it likes.
std::optional<int> reasoning_budget(
    const chat::Request& request, std::string_view template_source);

// What to write into an open thought so that it ends. `to_answer`: the answer
// must follow at once; else the model may still choose to call a tool.
std::string closing_text(const ReasoningStyle& style, bool to_answer);

}  // namespace rapid
