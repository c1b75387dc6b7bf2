// Tools and the choice among them outside of a request, as command lines give
// them: a JSON list in the chat dialect's form, and a word or a tool's name.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "chat/message.h"

namespace rapid {

struct ToolList {
  std::vector<chat::Tool> tools;
  chat::ToolChoice choice;
};

// `choice`: auto, none, required or the name of one of the tools. Errors are
// those of a request with such fields.
Result<ToolList> read_tool_list(const Json& tools, const std::string& choice);

}  // namespace rapid
