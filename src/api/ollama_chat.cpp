// POST /api/chat
#include "api/ollama_writer.h"
#include "api/openai_messages.h"
#include "api/openapi.h"

namespace rapid {

namespace {

Status answer(
    const HttpRequest& http,
    const std::shared_ptr<ResponseStream>& stream,
    ApiContext& context) {
  RAPID_TRY(const Json body, parse_body(http.body));
  RAPID_TRY(OllamaAsk ask, read_ollama(http, body, context));
  const Fields fields(body);
  RAPID_CHECK(read_ollama_messages(fields, ask));
  HostedOffer hosted = hosted_offer(context);
  RAPID_CHECK(read_openai_tools(fields, ask.request, &hosted));
  ask.backend = hosted.backend(ask.backend, context);
  OllamaReplyOptions options{
      .model = ask.model,
      .stream = ask.stream,
      .ignored = std::move(ask.ignored)};
  if (ask.request.messages.empty()) {
    // Loading is what such a request is for.
    reply_ollama_hold(ask, options, stream, context);
    return {};
  }
  run_ollama(ask, std::move(options), stream, context);
  return {};
}

}  // namespace

void register_route_ollama_chat(RouteTable& table) {
  table.add(
      {.method = "POST",
       .path = "/api/chat",
       .handler = answering(answer, ollama_error_body),
       .error_body = ollama_error_body,
       .body =
           [] {
             return ollama_body(
                 {{"messages", "array", "the conversation; none: load"},
                  {"tools", "array", "what the model may call"}});
           },
       .reply =
           [] {
             return json_shape(R"({"model": "string", "created_at": "string",
           "message": {"role": "=assistant", "content": "string",
           "thinking?": "string",
           "tool_calls?": [{"function": {"name": "string",
           "arguments": "object"}}]}, "done": "boolean",
           "done_reason": "string", "total_duration?": "integer",
           "load_duration?": "integer", "prompt_eval_count?": "integer",
           "prompt_eval_duration?": "integer", "eval_count?": "integer",
           "eval_duration?": "integer"})");
           },
       .stream = "application/x-ndjson",
       .summary = "chat in the Ollama form"});
}

}  // namespace rapid
