#include "api/openai_common.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <ctime>

#include "api/sampling_fields.h"

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
}  // namespace

Status read_openai_format(
    const Fields& fields, std::string_view name, chat::Request& request) {
  using Kind = GrammarSource::Kind;
  RAPID_TRY(const Json* given, fields.object(name));
  if (given == nullptr) {
    return {};
  }
  const Fields format(*given, fields.path(name));
  RAPID_TRY(const auto type, format.string("type"));
  if (!type) {
    return missing_field(format.path("type"), "text");
  }
  if (*type == "json_object") {
    request.constraint = GrammarSource{Kind::json_object, ""};
  } else if (*type == "json_schema") {
    RAPID_TRY(const Json* named, format.object("json_schema"));
    const Json* schema = named ? Fields(*named, "").find("schema") : nullptr;
    schema = schema ? schema : format.find("schema");
    if (schema == nullptr) {
      return missing_field(
          format.path(name == "format" ? "schema" : "json_schema.schema"),
          "a JSON Schema");
    }
    request.constraint = GrammarSource{Kind::json_schema, dump_json(*schema)};
  } else if (*type == "regex" || *type == "lark" || *type == "grammar") {
    const char* key = *type == "regex" ? "pattern" : "grammar";
    RAPID_TRY(const auto text, format.string(key));
    if (!text) {
      return missing_field(format.path(key), "text");
    }
    request.constraint = GrammarSource{
        *type == "regex" ? Kind::regex : Kind::lark, std::string(*text)};
  } else if (*type != "text") {
    return wrong_field(
        format.path("type"),
        "text, json_object, json_schema, regex or lark",
        Json(*type));
  }
  return {};
}

namespace {

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

Result<std::shared_ptr<Backend>> openai_backend(
    const ApiContext& context, const Fields& fields) {
  RAPID_TRY(const auto model, fields.string("model"));
  return backend_for(context, model.value_or(""));
}

Status read_openai_sampling(const Fields& fields, chat::Request& request) {
  chat::Sampling& sampling = request.sampling;
  RAPID_CHECK(read_distribution(fields, sampling));
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
  RAPID_TRY(const auto adapter, fields.string("adapter"));
  request.adapter = adapter.value_or("");
  RAPID_TRY(const auto use_cache, fields.boolean("cache"));
  request.use_cache = use_cache.value_or(true);
  RAPID_TRY(const auto ignore_end, fields.boolean("ignore_eos"));
  request.ignore_end = ignore_end.value_or(false);
  RAPID_CHECK(read_openai_format(fields, "response_format", request));
  return {};
}

Status check_openai_fields(const Fields& fields) {
  for (const char* name :
       {"user",
        "safety_identifier",
        "prompt_cache_key",
        "prompt_cache_retention",
        "service_tier",
        "verbosity"}) {
    RAPID_CHECK(fields.string(name));
  }
  RAPID_CHECK(fields.boolean("store"));
  for (const char* name : {"metadata", "web_search_options"}) {
    RAPID_CHECK(fields.object(name));
  }
  RAPID_TRY(const auto modalities, fields.strings("modalities"));
  if (std::ranges::find(modalities, "audio") != modalities.end()) {
    return unsupported_field("modalities", "this model answers in text");
  }
  return {};
}

// {"type": "content", "content": a text, or parts of it}
Status read_openai_prediction(const Fields& fields, chat::Request& request) {
  RAPID_TRY(const Json* given, fields.object("prediction"));
  if (given == nullptr) {
    return {};
  }
  const Fields prediction(*given, "prediction");
  RAPID_TRY(const auto type, prediction.string("type"));
  if (type && *type != "content") {
    return wrong_field("prediction.type", "content", Json(*type));
  }
  const Json* content = prediction.find("content");
  if (content == nullptr) {
    return missing_field("prediction.content", "a text or a list of parts");
  }
  if (content->is_string()) {
    request.prediction = content->get<std::string>();
    return {};
  }
  RAPID_TRY(const Json* parts, prediction.array("content"));
  for (const Json& part : *parts) {
    const auto text = part.is_object() ? part.find("text") : part.end();
    if (text == part.end() || !text->is_string()) {
      return wrong_field(
          "prediction.content", "a text or parts of type text", part);
    }
    request.prediction += text->get<std::string>();
  }
  return {};
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

void set_reasoning_effort(chat::Request& request, const std::string& effort) {
  request.reasoning_effort = effort;
  request.template_kwargs["reasoning_effort"] = effort;
  if (effort == "none") {
    request.template_kwargs["enable_thinking"] = false;
  }
}

Json openai_usage(const chat::Usage& usage) {
  Json details = {{"reasoning_tokens", usage.reasoning_tokens}};
  if (usage.drafted_tokens > 0) {
    details["accepted_prediction_tokens"] = usage.accepted_tokens;
    details["rejected_prediction_tokens"] =
        usage.drafted_tokens - usage.accepted_tokens;
  }
  return {
      {"prompt_tokens", usage.prompt_tokens},
      {"completion_tokens", usage.completion_tokens},
      {"total_tokens", usage.prompt_tokens + usage.completion_tokens},
      {"prompt_tokens_details", {{"cached_tokens", usage.cached_tokens}}},
      {"completion_tokens_details", std::move(details)}};
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
