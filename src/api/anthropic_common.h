// What the Anthropic dialect's routes share: a parsed body, and the shape of
// errors: {"type": "error", "error": {"type", "message"}}.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "api/hosted_tools.h"
#include "api/json_fields.h"
#include "api/route.h"
#include "base/json.h"
#include "chat/request.h"

namespace rapid {

struct AnthropicAsk {
  std::shared_ptr<Backend> backend;
  chat::Request request;
  HostedOffer hosted;
  bool stream = false;
  bool omit_thinking = false;  // thinking.display: its text is not sent
  bool explain_cache = false;
  // Known parts that have no effect here: server tools, images of old turns.
  std::vector<std::string> ignored;
};

// What such a message may have, for docs.
Json anthropic_body();

std::string anthropic_error_body(int status, const Error& error);

// The body of a request for a message, or for its number of tokens.
Result<AnthropicAsk> read_anthropic(
    const HttpRequest& http, const ApiContext& context);

// Fills request.messages from `system` and `messages`. The tools come first:
// a tool_reference shows the one it names.
Status read_anthropic_messages(const Fields& fields, AnthropicAsk& ask);

// `tools`, `mcp_servers` and `tool_choice`.
Status read_anthropic_tools(const Fields& fields, AnthropicAsk& ask);

}  // namespace rapid
