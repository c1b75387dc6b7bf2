#include "api/openai_common.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <ctime>

namespace rapid {

namespace {

constexpr int64_t kMostChoices = 128;

Status read_logit_bias(const Fields& fields, chat::Request& request) {
  RAPID_TRY(const Json* bias, fields.object("logit_bias"));
  if (bias == nullptr) {
    return {};
  }
  for (const auto& [key, value] : bias->items()) {
    int32_t id = 0;
    const char* end = key.data() + key.size();
    const auto read = std::from_chars(key.data(), end, id);
    const std::string path = fields.path("logit_bias");
    if (read.ec != std::errc() || read.ptr != end || id < 0) {
      return wrong_field(path, "token ids as keys", Json(key));
    }
    const Fields entry(*bias, path);
    RAPID_TRY(const auto amount, entry.real(key, -100, 100));
    if (!amount) {
      return wrong_field(entry.path(key), "a number", value);
    }
    request.sampling.logit_bias[id] = *amount;
  }
  return {};
}

// {"type": "text" | "json_object" | "json_schema" | "regex" | "lark"}
Status read_response_format(const Fields& fields, chat::Request& request) {
  using Kind = GrammarSource::Kind;
  const Json* given = fields.find("response_format");
  if (given == nullptr) {
    return {};
  }
  if (!given->is_object()) {
    return wrong_field("response_format", "an object", *given);
  }
  const Fields format(*given, "response_format");
  RAPID_TRY(const auto type, format.string("type"));
  if (!type) {
    return wrong_field("response_format.type", "text", Json());
  }
  if (*type == "json_object") {
    request.constraint = GrammarSource{Kind::json_object, ""};
  } else if (*type == "json_schema") {
    RAPID_TRY(const Json* named, format.object("json_schema"));
    const Json* schema = named ? Fields(*named, "").find("schema") : nullptr;
    schema = schema ? schema : format.find("schema");
    if (schema == nullptr) {
      return wrong_field(
          "response_format.json_schema.schema", "a JSON Schema", Json());
    }
    request.constraint = GrammarSource{Kind::json_schema, dump_json(*schema)};
  } else if (*type == "regex" || *type == "lark" || *type == "grammar") {
    const char* key = *type == "regex" ? "pattern" : "grammar";
    RAPID_TRY(const auto text, format.string(key));
    if (!text) {
      return wrong_field(format.path(key), "text", Json());
    }
    request.constraint = GrammarSource{
        *type == "regex" ? Kind::regex : Kind::lark, std::string(*text)};
  } else if (*type != "text") {
    return wrong_field(
        "response_format.type",
        "text, json_object, json_schema, regex or lark",
        Json(*type));
  }
  return {};
}

// Known fields that would change the answer and are not served yet.
Status refuse_unserved(const Fields& fields) {
  for (const char* name : {"functions", "function_call"}) {
    if (fields.find(name) != nullptr) {
      return unsupported_field(name, "use tools and tool_choice");
    }
  }
  return {};
}

Status read_max_tokens(const Fields& fields, chat::Request& request) {
  for (const char* name : {"max_tokens", "max_completion_tokens"}) {
    RAPID_TRY(const auto value, fields.integer(name, 0, INT32_MAX));
    if (value) {
      request.max_tokens = static_cast<int>(*value);
    }
  }
  return {};
}

}  // namespace

OpenAiReplyOptions openai_reply_options(
    std::string id, const ModelCard& card, const std::string& version) {
  return {
      .id = std::move(id),
      .model = card.id(),
      .fingerprint = "rapid-mlx-" + version,
      .created = static_cast<int64_t>(std::time(nullptr))};
}

Error unknown_model(std::string_view model, const ModelCard& card) {
  return {
      ErrorCode::not_found,
      fmt::format("the model \"{}\" is not loaded here", model),
      fmt::format("use \"{}\" or \"default\"", card.id()),
      "model"};
}

Status check_openai_model(const Fields& fields, const ModelCard& card) {
  RAPID_TRY(const auto model, fields.string("model"));
  if (!model || card.answers_to(*model)) {
    return {};
  }
  return unknown_model(*model, card);
}

Status read_openai_sampling(const Fields& fields, chat::Request& request) {
  chat::Sampling& sampling = request.sampling;
  RAPID_TRY(sampling.temperature, fields.real("temperature", 0, 2));
  RAPID_TRY(sampling.top_p, fields.real("top_p", 0, 1));
  if (sampling.top_p && *sampling.top_p <= 0) {
    return wrong_field(
        "top_p", "a number above 0, up to 1", *fields.find("top_p"));
  }
  // -1 is how some clients say "off".
  RAPID_TRY(const auto top_k, fields.integer("top_k", -1, INT32_MAX));
  if (top_k) {
    sampling.top_k = static_cast<int>(std::max<int64_t>(*top_k, 0));
  }
  RAPID_TRY(sampling.min_p, fields.real("min_p", 0, 1));
  RAPID_TRY(
      sampling.repetition_penalty, fields.real("repetition_penalty", 0, 2));
  if (sampling.repetition_penalty && *sampling.repetition_penalty <= 0) {
    return wrong_field(
        "repetition_penalty",
        "a number above 0, up to 2",
        *fields.find("repetition_penalty"));
  }
  RAPID_TRY(sampling.presence_penalty, fields.real("presence_penalty", -2, 2));
  RAPID_TRY(
      sampling.frequency_penalty, fields.real("frequency_penalty", -2, 2));
  RAPID_CHECK(read_logit_bias(fields, request));
  RAPID_TRY(const auto seed, fields.integer("seed", INT64_MIN, INT64_MAX));
  if (seed) {
    sampling.seed = static_cast<uint64_t>(*seed);
  }
  RAPID_TRY(const auto choices, fields.integer("n", 1, kMostChoices));
  request.choices = static_cast<int>(choices.value_or(1));
  RAPID_CHECK(read_max_tokens(fields, request));
  RAPID_TRY(request.stop, fields.strings("stop"));
  RAPID_TRY(const auto use_cache, fields.boolean("cache"));
  request.use_cache = use_cache.value_or(true);
  RAPID_TRY(const auto ignore_end, fields.boolean("ignore_eos"));
  request.ignore_end = ignore_end.value_or(false);
  RAPID_CHECK(read_response_format(fields, request));
  return refuse_unserved(fields);
}

Status read_openai_stream(const Fields& fields, OpenAiReplyOptions& options) {
  RAPID_TRY(const auto stream, fields.boolean("stream"));
  options.stream = stream.value_or(false);
  RAPID_TRY(const Json* more, fields.object("stream_options"));
  if (more != nullptr) {
    const Fields inner(*more, "stream_options");
    RAPID_TRY(const auto usage, inner.boolean("include_usage"));
    options.include_usage = options.stream && usage.value_or(false);
  }
  return {};
}

Json openai_usage(const chat::Usage& usage) {
  return {
      {"prompt_tokens", usage.prompt_tokens},
      {"completion_tokens", usage.completion_tokens},
      {"total_tokens", usage.prompt_tokens + usage.completion_tokens},
      {"prompt_tokens_details", {{"cached_tokens", usage.cached_tokens}}},
      {"completion_tokens_details",
       {{"reasoning_tokens", usage.reasoning_tokens}}}};
}

std::string_view openai_finish_reason(chat::Finished::Reason reason) {
  switch (reason) {
    case chat::Finished::Reason::stop:
      return "stop";
    case chat::Finished::Reason::length:
      return "length";
    case chat::Finished::Reason::tool_calls:
      return "tool_calls";
  }
  return "stop";
}

double openai_logprob(float logprob) {
  constexpr double kImpossible = -9999.0;  // what the API sends for -inf
  return std::isfinite(logprob) ? logprob : kImpossible;
}

}  // namespace rapid
