#include "api/ollama_common.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <iterator>

#include "api/cache_report.h"
#include "api/lane.h"
#include "cache/turn_hash.h"

namespace rapid {
namespace {

constexpr int kMostTokens = 1 << 30;

// Go's form: numbers with units, all after one sign.
std::optional<double> parse_duration(const std::string& text) {
  struct Unit {
    std::string_view name;
    double seconds;
  };
  constexpr Unit kUnits[] = {
      {"ms", 1e-3},
      {"us", 1e-6},
      {"ns", 1e-9},
      {"h", 3600},
      {"m", 60},
      {"s", 1}};
  const double sign = text.starts_with('-') ? -1 : 1;
  const char* at = text.c_str() + (sign < 0 ? 1 : 0);
  double sum = 0;
  do {
    char* end = nullptr;
    const double value = std::strtod(at, &end);
    if (end == at || !std::isfinite(value) || value < 0) {
      return std::nullopt;
    }
    const std::string_view rest(end);
    const auto* unit = std::ranges::find_if(
        kUnits, [&](const Unit& one) { return rest.starts_with(one.name); });
    const bool named = unit != std::end(kUnits);
    sum += value * (named ? unit->seconds : 1);
    at = end + (named ? unit->name.size() : 0);
  } while (*at != '\0');
  return sign * sum;
}

std::string rounded(double count) {
  constexpr const char* kUnits[] = {"", "K", "M", "B", "T"};
  int unit = 0;
  for (; count >= 1000 && unit < 4; ++unit) {
    count /= 1000;
  }
  return fmt::format("{:.3g}{}", count, kUnits[unit]);
}

// What would change the answer and is not here.
constexpr const char* kUnserved[] = {
    "mirostat", "mirostat_tau", "mirostat_eta", "tfs_z", "typical_p"};

Status read_options(const Fields& body, OllamaAsk& ask) {
  RAPID_TRY(const Json* given, body.object("options"));
  ask.request.may_shorten = true;
  if (given == nullptr) {
    return {};
  }
  chat::Sampling& sampling = ask.request.sampling;
  const Fields fields(*given, "options");
  RAPID_TRY(sampling.temperature, fields.real("temperature", 0, 2));
  RAPID_TRY(sampling.top_p, fields.real("top_p", 0, 1));
  if (sampling.top_p == 0.0f) {
    sampling.top_k = 1;  // nothing but the best is what it says there
    sampling.top_p.reset();
  }
  RAPID_TRY(const auto top_k, fields.integer("top_k", -1, INT32_MAX));
  if (top_k && !sampling.top_k) {
    sampling.top_k = static_cast<int>(std::max<int64_t>(*top_k, 0));
  }
  RAPID_TRY(sampling.min_p, fields.real("min_p", 0, 1));
  RAPID_TRY(sampling.repetition_penalty, fields.real("repeat_penalty", 0, 2));
  if (sampling.repetition_penalty == 0.0f) {
    sampling.repetition_penalty.reset();
  }
  RAPID_TRY(sampling.presence_penalty, fields.real("presence_penalty", -2, 2));
  RAPID_TRY(
      sampling.frequency_penalty, fields.real("frequency_penalty", -2, 2));
  RAPID_TRY(const auto seed, fields.integer("seed", INT64_MIN, INT64_MAX));
  if (seed) {
    sampling.seed = static_cast<uint64_t>(*seed);
  }
  // Below zero: as many as there is room for.
  RAPID_TRY(const auto most, fields.integer("num_predict", -2, kMostTokens));
  if (most && *most >= 0) {
    ask.request.max_tokens = static_cast<int>(*most);
  }
  RAPID_TRY(ask.request.stop, fields.strings("stop"));
  RAPID_TRY(const auto context, fields.integer("num_ctx", 0, kMostTokens));
  // 0: it was never loaded, so nobody knows yet.
  const int longest = ask.backend->card().context_length;
  if (context && longest > 0 && *context > longest) {
    ask.ignored.push_back(
        fmt::format("options.num_ctx: the context is {}", longest));
  }
  for (const char* name : kUnserved) {
    if (fields.find(name) != nullptr) {
      ask.ignored.push_back(fields.path(name));
    }
  }
  return {};
}

Status read_format(const Fields& fields, chat::Request& request) {
  const Json* format = fields.find("format");
  if (format == nullptr || *format == "") {
    return {};
  }
  using Kind = GrammarSource::Kind;
  if (*format == "json") {
    request.constraint = GrammarSource{Kind::json_object, ""};
  } else if (format->is_object()) {
    request.constraint = GrammarSource{Kind::json_schema, dump_json(*format)};
  } else {
    return wrong_field("format", "\"json\" or a JSON Schema", *format);
  }
  return {};
}

// True, false, or how much; absent: as the model's template has it.
Status read_think(const Fields& fields, chat::Request& request) {
  const Json* think = fields.find("think");
  if (think == nullptr) {
    return {};
  }
  if (think->is_boolean()) {
    request.template_kwargs["enable_thinking"] = think->get<bool>();
    return {};
  }
  if (!think->is_string()) {
    return wrong_field("think", "true, false, low, medium or high", *think);
  }
  request.template_kwargs["enable_thinking"] = *think != "none";
  request.reasoning_effort = think->get<std::string>();
  request.template_kwargs["reasoning_effort"] =
      *think == "max" ? Json("high") : *think;
  return {};
}

// Seconds, or "5m", "1h30m"; below zero: for ever, which is 0 for a pool.
Status read_keep_alive(const Fields& fields, OllamaAsk& ask) {
  const Json* given = fields.find("keep_alive");
  if (given == nullptr) {
    return {};
  }
  std::optional<double> seconds;
  if (given->is_number()) {
    seconds = given->get<double>();
  } else if (given->is_string()) {
    seconds = parse_duration(given->get_ref<const std::string&>());
  }
  if (!seconds) {
    return wrong_field("keep_alive", "seconds, or a text like 5m", *given);
  }
  ask.unload = *seconds == 0;
  ask.ttl = std::max(*seconds, 0.0);
  return {};
}

Status read_logprobs(const Fields& fields, chat::Request& request) {
  RAPID_TRY(const auto wanted, fields.boolean("logprobs"));
  RAPID_TRY(const auto top, fields.integer("top_logprobs", 0, 20));
  if (wanted.value_or(false)) {
    request.logprobs = static_cast<int>(top.value_or(0));
  }
  return {};
}

}  // namespace

std::string ollama_error_body(int, const Error& error) {
  return dump_json({{"error", error_message(error)}});
}

std::string ollama_time() {
  using namespace std::chrono;
  const auto now = time_point_cast<microseconds>(system_clock::now());
  return fmt::format(
      "{:%Y-%m-%dT%H:%M:%S}.{:06}Z",
      fmt::gmtime(system_clock::to_time_t(now)),
      now.time_since_epoch().count() % 1000000);
}

std::string ollama_time(int64_t seconds) {
  return fmt::format(
      "{:%Y-%m-%dT%H:%M:%S}.000000Z",
      fmt::gmtime(static_cast<std::time_t>(seconds)));
}

std::string_view without_latest(std::string_view model) {
  constexpr std::string_view kLatest = ":latest";
  if (model.ends_with(kLatest)) {
    model.remove_suffix(kLatest.size());
  }
  return model;
}

Result<std::string> ollama_model(const Fields& fields) {
  RAPID_TRY(auto model, fields.string("model"));
  if (!model || model->empty()) {
    RAPID_TRY(model, fields.string("name"));
  }
  return model.value_or("");
}

Result<std::shared_ptr<Backend>> ollama_backend(
    const ApiContext& context, std::string_view model) {
  auto backend = backend_for(context, model);
  const std::string_view plain = without_latest(model);
  return backend || plain == model ? backend : backend_for(context, plain);
}

Result<OllamaAsk> read_ollama(
    const HttpRequest& http, const Json& body, const ApiContext& context) {
  const Fields fields(body);
  OllamaAsk ask;
  RAPID_TRY(ask.model, ollama_model(fields));
  RAPID_TRY(ask.backend, ollama_backend(context, ask.model));
  ask.model = ask.model.empty() ? ask.backend->card().id() : ask.model;
  RAPID_CHECK(read_options(fields, ask));
  RAPID_CHECK(read_format(fields, ask.request));
  RAPID_CHECK(read_think(fields, ask.request));
  RAPID_CHECK(read_logprobs(fields, ask.request));
  RAPID_TRY(const auto stream, fields.boolean("stream"));
  ask.stream = stream.value_or(true);
  RAPID_CHECK(read_keep_alive(fields, ask));
  ask.request.lane = request_lane(http, body);
  RAPID_TRY(const bool explain, read_cache_fields(http, fields, ask.request));
  static_cast<void>(explain);
  return ask;
}

void ollama_hold(
    const OllamaAsk& ask, const ApiContext& context, ReplyWhenHeld reply) {
  const auto models = context.models();
  const std::string name = ask.backend->card().id();
  const auto done = [reply](const Result<ModelStatus>& result) {
    if (reply) {
      reply(result ? Status() : Status(result.error()));
    }
  };
  const Status begun =
      ask.unload
          ? models->unload(name, done)
          : models->load(
                {.model = name, .pin = std::nullopt, .ttl = ask.ttl}, done);
  if (!begun && reply) {
    reply(begun);
  }
}

Json ollama_details(const ModelCard& card) {
  return {
      {"parent_model", ""},
      {"format", card.path.ends_with(".gguf") ? "gguf" : "safetensors"},
      {"family", card.architecture},
      {"families", Json::array({card.architecture})},
      {"parameter_size", rounded(static_cast<double>(card.parameters))},
      {"quantization_level", "unknown"}};
}

std::string ollama_digest(const ModelCard& card) {
  return hash_of({card.id(), card.path, std::to_string(card.weight_bytes)});
}

Json ollama_capabilities(const ModelCard& card) {
  Json out = Json::array({"completion"});
  if (card.chat_style != "none" && card.format != "plain") {
    out.push_back("tools");
  }
  if (!card.reasoning.empty()) {
    out.push_back("thinking");
  }
  return out;
}

}  // namespace rapid
