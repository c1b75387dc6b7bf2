// The items of a response's conversation: what a client may send as `input`,
// in one form, and what chat::Messages they make.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "chat/message.h"

namespace rapid {

struct ResponsesInputOptions {
  std::string response_id;  // for the ids of items that come without one
  // An earlier item by its id, for references.
  std::function<std::optional<Json>(const std::string&)> find;
};

// `input` (text, or a list of items) as a list of items in full form: type, id
// and status are there, content is a list of parts. What only the API's own
// servers make or read is left out, with a note.
Result<Json> read_responses_input(
    const Json& input,
    const ResponsesInputOptions& options,
    std::vector<std::string>& notes);

// Items in full form, in order. What one turn of the model made (reasoning,
// text, calls) becomes one message.
std::vector<chat::Message> messages_of_items(const Json& items);

// Reasoning as text that only this server reads, for clients that keep it.
std::string sealed_reasoning(const std::string& text);

}  // namespace rapid
