// The tools of a response, as the model sees them: functions with flat names.
// A namespace's function gets the namespace before its name; a custom tool,
// whose input is free text, becomes a function with the one argument `input`.
// Tools of MCP servers are taken from those that run here (hosted_tools.h);
// others that the API's own servers would run are left out, with a note.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "api/hosted_tools.h"
#include "api/json_fields.h"
#include "base/json.h"
#include "base/result.h"
#include "chat/request.h"

namespace rapid {

// What a client calls the tool with a flat name.
struct ResponsesTool {
  std::string name_space;  // "" = none
  std::string name;
  bool custom = false;
};

struct ResponsesTools {
  std::map<std::string, ResponsesTool, std::less<>> by_name;  // the flat one
  Json list = Json::array();  // as a response states them
  Json choice = "auto";
};

std::string flat_tool_name(std::string_view name_space, std::string_view name);

// A custom tool's free text as arguments, and back: what is no such object
// comes back as it is.
std::string custom_tool_arguments(const std::string& input);
std::string custom_tool_input(const std::string& arguments);

// tools, tool_choice and parallel_tool_calls.
Result<ResponsesTools> read_responses_tools(
    const Fields& fields,
    chat::Request& request,
    HostedOffer& hosted,
    std::vector<std::string>& notes);

}  // namespace rapid
