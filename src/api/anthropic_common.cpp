#include "api/anthropic_common.h"

#include <fmt/format.h>

#include "api/cache_report.h"
#include "api/lane.h"
#include "api/openapi.h"
#include "api/sampling_fields.h"

namespace rapid {
namespace {

std::string_view error_type(int status) {
  switch (status) {
    case 401:
      return "authentication_error";
    case 403:
      return "permission_error";
    case 404:
      return "not_found_error";
    case 413:
      return "request_too_large";
    case 429:
      return "rate_limit_error";
    case 503:
    case 529:
      return "overloaded_error";
    default:
      return status >= 500 ? "api_error" : "invalid_request_error";
  }
}

// Clients have names of the service's own models built in, and use them for
// small tasks: they mean the model that is here.
bool is_built_in_name(const std::string& model) {
  return model.starts_with("claude-");
}

Result<std::shared_ptr<Backend>> backend_of(
    const Fields& fields, const ApiContext& context) {
  RAPID_TRY(const auto model, fields.string("model"));
  auto backend = backend_for(context, model.value_or(""));
  if (!backend && backend.error().code == ErrorCode::not_found &&
      is_built_in_name(model.value_or(""))) {
    return backend_for(context, "");
  }
  return backend;
}

Status read_sampling(const Fields& fields, chat::Request& request) {
  RAPID_TRY(const auto max_tokens, fields.integer("max_tokens", 0, INT32_MAX));
  if (max_tokens) {
    request.max_tokens = static_cast<int>(*max_tokens);
  }
  request.may_shorten = true;  // the field is no wish: it has to be given
  chat::Sampling& sampling = request.sampling;
  RAPID_CHECK(read_distribution(fields, sampling));
  RAPID_TRY(const auto seed, fields.integer("seed", INT64_MIN, INT64_MAX));
  if (seed) {
    sampling.seed = static_cast<uint64_t>(*seed);
  }
  RAPID_TRY(request.stop, fields.strings("stop_sequences"));
  return {};
}

// Absent means off, as the service has it: a client that does not ask for
// thinking takes the first block for the answer.
Status read_thinking(const Fields& fields, AnthropicAsk& ask) {
  chat::Request& request = ask.request;
  RAPID_TRY(const Json* given, fields.object("thinking"));
  std::string type = "disabled";
  if (given != nullptr) {
    const Fields inner(*given, "thinking");
    RAPID_TRY(const auto named, inner.string("type"));
    if (!named) {
      return missing_field("thinking.type", "enabled, disabled or adaptive");
    }
    type = *named;
    RAPID_TRY(const auto budget, inner.integer("budget_tokens", 0, INT32_MAX));
    if (type == "enabled" && budget) {
      request.reasoning_max_tokens = static_cast<int>(*budget);
    }
    RAPID_TRY(const auto display, inner.string("display"));
    ask.omit_thinking = display == "omitted";
  }
  if (type != "enabled" && type != "disabled" && type != "adaptive") {
    return wrong_field(
        "thinking.type", "enabled, disabled or adaptive", Json(type));
  }
  request.template_kwargs["enable_thinking"] = type != "disabled";
  return {};
}

Status read_format(
    const Json& format, const std::string& path, AnthropicAsk& ask) {
  if (!format.is_object()) {
    return wrong_field(path, "an object", format);
  }
  const Fields fields(format, path);
  RAPID_TRY(const auto type, fields.string("type"));
  if (type != "json_schema") {
    return wrong_field(
        fields.path("type"), "json_schema", format.value("type", Json()));
  }
  RAPID_TRY(const Json* schema, fields.object("schema"));
  if (schema == nullptr) {
    return missing_field(fields.path("schema"), "a JSON Schema");
  }
  ask.request.constraint =
      GrammarSource{GrammarSource::Kind::json_schema, dump_json(*schema)};
  return {};
}

Status read_output(const Fields& fields, AnthropicAsk& ask) {
  if (const Json* format = fields.find("output_format")) {
    RAPID_CHECK(read_format(*format, "output_format", ask));
  }
  RAPID_TRY(const Json* config, fields.object("output_config"));
  if (config == nullptr) {
    return {};
  }
  const Fields inner(*config, "output_config");
  if (const Json* format = inner.find("format")) {
    RAPID_CHECK(read_format(*format, "output_config.format", ask));
  }
  RAPID_TRY(auto effort, inner.string("effort"));
  chat::Request& request = ask.request;
  if (effort && request.template_kwargs["enable_thinking"] == true) {
    request.reasoning_effort = *effort;
    // Templates know three.
    request.template_kwargs["reasoning_effort"] =
        *effort == "xhigh" || *effort == "max" ? "high" : *effort;
  }
  return {};
}

Status read_lane(
    const HttpRequest& http,
    const Fields& fields,
    const Json& body,
    chat::Request& request) {
  request.lane = request_lane(http, body);
  RAPID_TRY(const Json* metadata, fields.object("metadata"));
  if (metadata != nullptr && request.lane.empty()) {
    RAPID_TRY(const auto user, Fields(*metadata, "metadata").string("user_id"));
    request.lane = user.value_or("").substr(0, 256);
  }
  return {};
}

}  // namespace

Json anthropic_body() {
  return body_schema(
      {{"messages", "array", "the conversation so far", true},
       {"model", "string", "default, a loaded model's name, or claude-..."},
       {"max_tokens", "integer", "a bound; memory may end it sooner"},
       {"system", "string|array", "a text, or blocks of it"},
       {"stream", "boolean", "answer as server-sent events"},
       {"temperature", "number", "0 to 2"},
       {"top_p", "number", "above 0, up to 1"},
       {"top_k", "integer", "-1 or 0: off"},
       {"seed", "integer", "the same seed, the same answer"},
       {"stop_sequences", "string|array", "texts that end the answer"},
       {"tools", "array", "what the model may call"},
       {"mcp_servers", "array", "names of servers whose tools run here"},
       {"tool_choice", "object", "auto, any, tool or none"},
       {"thinking", "object", "enabled, disabled or adaptive"},
       {"output_config", "object", "effort, and format: json_schema"},
       {"metadata", "object", "user_id: who is served"}});
}

std::string anthropic_error_body(int status, const Error& error) {
  std::string message = error_message(error);
  if (error.code == ErrorCode::context_length) {
    // Clients look for these words, and then shorten the conversation.
    message = "prompt is too long: " + message;
  }
  return dump_json(
      {{"type", "error"},
       {"error",
        {{"type", error_type(status)}, {"message", std::move(message)}}}});
}

Result<AnthropicAsk> read_anthropic(
    const HttpRequest& http, const ApiContext& context) {
  RAPID_TRY(const Json body, parse_body(http.body));
  const Fields fields(body);
  AnthropicAsk ask;
  RAPID_TRY(ask.backend, backend_of(fields, context));
  ask.hosted = hosted_offer(context);
  RAPID_CHECK(read_anthropic_tools(fields, ask));
  RAPID_CHECK(read_anthropic_messages(fields, ask));
  RAPID_CHECK(read_sampling(fields, ask.request));
  RAPID_CHECK(read_thinking(fields, ask));
  RAPID_CHECK(read_output(fields, ask));
  RAPID_CHECK(read_lane(http, fields, body, ask.request));
  RAPID_TRY(const auto stream, fields.boolean("stream"));
  ask.stream = stream.value_or(false);
  RAPID_TRY(ask.explain_cache, read_cache_fields(http, fields, ask.request));
  return ask;
}

}  // namespace rapid
