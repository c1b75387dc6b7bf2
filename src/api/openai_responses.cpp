// POST /v1/responses, and /v1/responses/input_tokens
#include <utility>

#include "api/event_writer.h"
#include "api/openai_common.h"
#include "api/openapi.h"
#include "api/response_run.h"
#include "api/responses_request.h"
#include "api/responses_writer.h"

namespace rapid {

namespace {

Json response_body() {
  return body_schema(
      {{"input", "string|array", "a text, or items", true},
       {"model", "string", "default, or a loaded model's name"},
       {"instructions", "string", "a system message, for this turn alone"},
       {"previous_response_id", "string", "a stored response to go on from"},
       {"store", "boolean", "keep it to go on from; else true"},
       {"background", "boolean", "answer at once, fetch it later"},
       {"stream", "boolean", "answer as typed server-sent events"},
       {"tools", "array", "functions, namespaces, custom tools, mcp"},
       {"tool_choice", "string|object", "auto, none, required or a tool"},
       {"parallel_tool_calls", "boolean", "more than one call a turn"},
       {"max_tool_calls", "integer", "of tools that are run here"},
       {"text", "object", "format: text, json_object, json_schema"},
       {"reasoning", "object", "effort and summary"},
       {"include", "array", "reasoning.encrypted_content and others"},
       {"max_output_tokens", "integer", "else the rest of the context"},
       {"temperature", "number", "0 to 2"},
       {"top_p", "number", "above 0, up to 1"},
       {"top_logprobs", "integer", "alternatives, up to 20"},
       {"truncation", "string", "auto: the oldest turns may be left out"},
       {"metadata", "object", "texts that come back"},
       {"prompt_cache_key", "string", "which conversation this is"}});
}

Status create_response(
    const HttpRequest& http,
    const std::shared_ptr<ResponseStream>& stream,
    ApiContext& context) {
  RAPID_TRY(const Json body, parse_body(http.body));
  RAPID_TRY(const auto backend, openai_backend(context, Fields(body)));
  RAPID_TRY(
      ResponsesRequest request,
      read_responses_request(http, body, backend->card(), context));
  if (request.truncate) {
    RAPID_CHECK(fit_to_context(*backend, request));
  }
  const bool store = request.reply.store;
  const bool detached = request.reply.background && !request.reply.stream;
  Json queued = request.reply.stored.response;
  queued["status"] = "queued";
  const std::string id = request.reply.stored.id;
  const auto run =
      std::make_shared<ResponseRun>(stream, request.reply.background);
  const auto writer = std::make_shared<ResponsesWriter>(
      run, std::move(request.reply), context.responses);
  if (store) {
    context.responses->began(id, http.owner, writer);
  }
  run_request(
      request.chat,
      writer,
      run,
      request.hosted.backend(backend, context),
      standard_error_body);
  if (detached) {
    run->detach(dump_json(queued));
  }
  return {};
}

Status count_tokens(
    const HttpRequest& http, ResponseStream& stream, ApiContext& context) {
  RAPID_TRY(const Json body, parse_body(http.body));
  RAPID_TRY(const auto backend, openai_backend(context, Fields(body)));
  RAPID_TRY(
      const ResponsesRequest request,
      read_responses_request(http, body, backend->card(), context));
  RAPID_TRY(const auto prompts, backend->tokenise(request.chat));
  stream.reply(
      200,
      dump_json(
          {{"object", "response.input_tokens"},
           {"input_tokens", prompts.at(0).size()}}),
      "application/json");
  return {};
}

}  // namespace

void register_route_openai_responses(RouteTable& table) {
  table.add(
      {.method = "POST",
       .path = "/v1/responses",
       .handler = answering(create_response),
       .body = response_body,
       .reply = response_shape,
       .stream = "text/event-stream",
       .summary = "a response: items in and out, stored to go on from"});
  table.add(
      {.method = "POST",
       .path = "/v1/responses/input_tokens",
       .handler = answering(count_tokens),
       .body = response_body,
       .reply =
           [] {
             return json_shape(
                 R"({"object": "=response.input_tokens", "input_tokens": "integer"})");
           },
       .summary = "how many tokens a response's input has"});
}

}  // namespace rapid
