// POST /v1/messages/count_tokens: what the prompt of such a message would have.
#include "api/anthropic_common.h"
#include "api/openapi.h"

namespace rapid {

namespace {

Status count_tokens(
    const HttpRequest& http,
    const std::shared_ptr<ResponseStream>& stream,
    const ApiContext& context) {
  RAPID_TRY(const AnthropicAsk ask, read_anthropic(http, context));
  RAPID_TRY(const auto prompts, ask.backend->tokenise(ask.request));
  size_t count = 0;
  for (const auto& prompt : prompts) {
    count += prompt.size();
  }
  stream->reply(200, dump_json({{"input_tokens", count}}), "application/json");
  return {};
}

}  // namespace

void register_route_anthropic_count_tokens(RouteTable& table) {
  table.add(
      {.method = "POST",
       .path = "/v1/messages/count_tokens",
       .handler =
           [](const HttpRequest& http,
              const std::shared_ptr<ResponseStream>& stream,
              ApiContext& context) {
             stream->header("request-id", http.id);
             if (auto done = count_tokens(http, stream, context); !done) {
               reply_error(*stream, done.error(), anthropic_error_body);
             }
           },
       .error_body = anthropic_error_body,
       .body = anthropic_body,
       .reply = [] { return json_shape(R"({"input_tokens": "integer"})"); },
       .summary = "the number of tokens of such a message's prompt"});
}

}  // namespace rapid
