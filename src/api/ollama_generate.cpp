// POST /api/generate: one prompt, through the chat template unless `raw`.
#include "api/ollama_writer.h"
#include "api/openapi.h"

namespace rapid {

namespace {

// Known fields that would change the answer and are not served.
Status refuse_unserved(const Fields& fields) {
  struct Unserved {
    const char* name;
    const char* hint;
  };
  constexpr Unserved kUnserved[] = {
      {"suffix", "this model does not fill in the middle"},
      {"template", "the model's own is used; send raw: true for none"},
      {"context", "send the conversation to /api/chat"},
      {"images", "this model reads text only"}};
  for (const Unserved& one : kUnserved) {
    const Json* value = fields.find(one.name);
    if (value != nullptr && !value->empty() && *value != "") {
      return unsupported_field(one.name, one.hint);
    }
  }
  return {};
}

Status generate(
    const HttpRequest& http,
    const std::shared_ptr<ResponseStream>& stream,
    ApiContext& context) {
  RAPID_TRY(const Json body, parse_body(http.body));
  RAPID_TRY(OllamaAsk ask, read_ollama(http, body, context));
  const Fields fields(body);
  RAPID_CHECK(refuse_unserved(fields));
  RAPID_TRY(const auto prompt, fields.string("prompt"));
  RAPID_TRY(const auto system, fields.string("system"));
  RAPID_TRY(const auto raw, fields.boolean("raw"));
  OllamaReplyOptions options{
      .model = ask.model,
      .chat = false,
      .stream = ask.stream,
      .ignored = std::move(ask.ignored)};
  if (!prompt || prompt->empty()) {
    // Loading is what such a request is for.
    reply_ollama_hold(ask, options, stream, context);
    return {};
  }
  chat::Request& request = ask.request;
  if (raw.value_or(false)) {
    request.prompts = {*prompt};
  } else {
    if (system && !system->empty()) {
      request.messages.push_back({.role = "system", .content = *system});
    }
    request.messages.push_back({.role = "user", .content = *prompt});
  }
  run_ollama(ask, std::move(options), stream, context);
  return {};
}

}  // namespace

void register_route_ollama_generate(RouteTable& table) {
  table.add(
      {.method = "POST",
       .path = "/api/generate",
       .handler = answering(generate, ollama_error_body),
       .error_body = ollama_error_body,
       .body =
           [] {
             return ollama_body(
                 {{"prompt", "string", "what is asked; none: load"},
                  {"system", "string", "a system message"},
                  {"raw", "boolean", "no chat template"}});
           },
       .reply =
           [] {
             return json_shape(
                 R"({"model": "string", "created_at": "string", "response": "string",
           "thinking?": "string", "done": "boolean", "done_reason": "string",
           "total_duration?": "integer", "load_duration?": "integer",
           "prompt_eval_count?": "integer",
           "prompt_eval_duration?": "integer", "eval_count?": "integer",
           "eval_duration?": "integer"})");
           },
       .stream = "application/x-ndjson",
       .summary = "one prompt in the Ollama form"});
}

}  // namespace rapid
