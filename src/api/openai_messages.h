// The `messages`, `tools` and `tool_choice` of a chat in OpenAI's form.
#pragma once

#include "api/hosted_tools.h"
#include "api/json_fields.h"
#include "base/result.h"
#include "chat/request.h"

namespace rapid {

// Fills request.messages. At least one message; text only.
Status read_openai_messages(const Fields& fields, chat::Request& request);

// Fills request.tools and request.tool_choice; from the older `functions` and
// `function_call` when there are no tools. Tools of type "mcp" go to `hosted`;
// without it they are an error.
Status read_openai_tools(
    const Fields& fields,
    chat::Request& request,
    HostedOffer* hosted = nullptr);

}  // namespace rapid
