#include "api/tool_list.h"

#include "api/json_fields.h"
#include "api/openai_messages.h"
#include "chat/request.h"

namespace rapid {

Result<ToolList> read_tool_list(const Json& tools, const std::string& choice) {
  Json body = {{"tools", tools}};
  if (choice == "none" || choice == "required") {
    body["tool_choice"] = choice;
  } else if (choice != "auto") {
    body["tool_choice"] = {
        {"type", "function"}, {"function", {{"name", choice}}}};
  }
  chat::Request request;
  RAPID_CHECK(read_openai_tools(Fields(body), request));
  return ToolList{std::move(request.tools), std::move(request.tool_choice)};
}

}  // namespace rapid
