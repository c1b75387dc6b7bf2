// POST /v1/messages
#include "api/anthropic_common.h"
#include "api/anthropic_writer.h"
#include "api/openapi.h"

namespace rapid {

namespace {

Status messages(
    const HttpRequest& http,
    const std::shared_ptr<ResponseStream>& stream,
    ApiContext& context) {
  RAPID_TRY(AnthropicAsk ask, read_anthropic(http, context));
  auto writer = std::make_shared<AnthropicWriter>(
      stream,
      AnthropicReplyOptions{
          .id = "msg_" + http.id,
          .model = ask.backend->card().id(),
          .stream = ask.stream,
          .omit_thinking = ask.omit_thinking,
          .explain_cache = ask.explain_cache,
          .ignored = std::move(ask.ignored)});
  run_request(
      ask.request,
      std::move(writer),
      stream,
      ask.hosted.backend(ask.backend, context),
      anthropic_error_body);
  return {};
}

}  // namespace

void register_route_anthropic_messages(RouteTable& table) {
  table.add(
      {.method = "POST",
       .path = "/v1/messages",
       .handler =
           [](const HttpRequest& http,
              const std::shared_ptr<ResponseStream>& stream,
              ApiContext& context) {
             stream->header("request-id", http.id);
             if (auto done = messages(http, stream, context); !done) {
               reply_error(*stream, done.error(), anthropic_error_body);
             }
           },
       .error_body = anthropic_error_body,
       .body = anthropic_body,
       .reply =
           [] {
             return json_shape(
                 R"({"id": "string", "type": "=message", "role": "=assistant",
           "model": "string", "content": [{"type": "string",
           "text?": "string", "thinking?": "string", "signature?": "string",
           "id?": "string", "name?": "string", "input?": "object",
           "server_name?": "string", "tool_use_id?": "string",
           "is_error?": "boolean", "content?": [{"type": "=text",
           "text": "string"}]}],
           "stop_reason": "string", "stop_sequence": "string|null",
           "usage": {"input_tokens": "integer", "output_tokens": "integer",
           "cache_creation_input_tokens": "integer",
           "cache_read_input_tokens": "integer"}})");
           },
       .stream = "text/event-stream",
       .summary = "chat in the Anthropic form"});
}

}  // namespace rapid
