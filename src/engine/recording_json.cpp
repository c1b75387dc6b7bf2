#include "engine/recording_json.h"

#include <array>
#include <stdexcept>
#include <string_view>
#include <utility>

namespace rapid {
namespace {

constexpr std::array<std::string_view, 3> kEnds = {
    "end_token", "length", "cancelled"};
constexpr std::array<std::string_view, 4> kGrammars = {
    "json_schema", "json_object", "regex", "lark"};

template <typename Enum, size_t N>
Enum named(const std::array<std::string_view, N>& names, const Json& json) {
  const auto& name = json.get_ref<const std::string&>();
  for (size_t i = 0; i < N; ++i) {
    if (names[i] == name) {
      return static_cast<Enum>(i);
    }
  }
  throw std::invalid_argument("\"" + name + "\" is not known here");
}

template <typename T>
void take(const Json& json, const char* key, T& value) {
  if (const auto found = json.find(key); found != json.end()) {
    value = found->get<T>();
  }
}
template <typename T>
void take(const Json& json, const char* key, std::optional<T>& value) {
  if (const auto found = json.find(key); found != json.end()) {
    value = found->get<T>();
  }
}

Json sampling_json(const SamplingOptions& options) {
  return {
      {"temperature", options.temperature},
      {"top_p", options.top_p},
      {"top_k", options.top_k},
      {"min_p", options.min_p},
      {"repetition_penalty", options.repetition_penalty},
      {"presence_penalty", options.presence_penalty},
      {"frequency_penalty", options.frequency_penalty},
      {"logit_bias", options.logit_bias},
      {"seed", options.seed}};
}

SamplingOptions sampling_from(const Json& json) {
  SamplingOptions out;
  take(json, "temperature", out.temperature);
  take(json, "top_p", out.top_p);
  take(json, "top_k", out.top_k);
  take(json, "min_p", out.min_p);
  take(json, "repetition_penalty", out.repetition_penalty);
  take(json, "presence_penalty", out.presence_penalty);
  take(json, "frequency_penalty", out.frequency_penalty);
  take(json, "logit_bias", out.logit_bias);
  take(json, "seed", out.seed);
  return out;
}

void put_request(const GenerateRequest& request, Json& out) {
  out["prompt"] = request.prompt;
  out["sampling"] = sampling_json(request.sampling);
  out["n"] = request.choices;
  out["max_tokens"] = request.max_tokens;
  out["may_shorten"] = request.may_shorten;
  out["end_tokens"] = request.end_tokens;
  if (request.grammar) {
    out["grammar"] = {
        {"kind", kGrammars.at(static_cast<size_t>(request.grammar->kind))},
        {"text", request.grammar->text},
        {"after", request.grammar_after},
        {"then_free", request.grammar_then_free}};
  }
  if (request.logprobs) {
    out["logprobs"] = *request.logprobs;
  }
  if (request.prompt_logprobs) {
    out["prompt_logprobs"] = *request.prompt_logprobs;
  }
  if (!request.use_cache) {
    out["use_cache"] = false;
  }
  if (!request.adapter.empty()) {
    out["adapter"] = request.adapter;
  }
  if (request.resume) {
    out["resume"] = {
        {"choice", request.resume->choice},
        {"answered", request.resume->answered},
        {"grammar_replay", request.resume->grammar_replay}};
  }
}

GenerateRequest request_from(const Json& json) {
  GenerateRequest out;
  out.prompt = json.at("prompt").get<std::vector<int32_t>>();
  out.sampling = sampling_from(json.at("sampling"));
  take(json, "n", out.choices);
  take(json, "max_tokens", out.max_tokens);
  take(json, "may_shorten", out.may_shorten);
  take(json, "end_tokens", out.end_tokens);
  if (const auto grammar = json.find("grammar"); grammar != json.end()) {
    out.grammar = GrammarSource{
        named<GrammarSource::Kind>(kGrammars, grammar->at("kind")),
        grammar->at("text").get<std::string>()};
    take(*grammar, "after", out.grammar_after);
    take(*grammar, "then_free", out.grammar_then_free);
  }
  take(json, "logprobs", out.logprobs);
  take(json, "prompt_logprobs", out.prompt_logprobs);
  take(json, "use_cache", out.use_cache);
  take(json, "adapter", out.adapter);
  if (const auto resume = json.find("resume"); resume != json.end()) {
    Resumption& again = out.resume.emplace();
    take(*resume, "choice", again.choice);
    take(*resume, "answered", again.answered);
    take(*resume, "grammar_replay", again.grammar_replay);
  }
  return out;
}

// [logprob or null, [[id, logprob], ...]]
Json json_of(const std::vector<EngineLogprob>& logprobs) {
  Json out = Json::array();
  for (const EngineLogprob& each : logprobs) {
    Json top = Json::array();
    for (const ScoredToken& token : each.top) {
      top.push_back(Json::array({token.id, token.logprob}));
    }
    out.push_back(
        Json::array({each.logprob ? Json(*each.logprob) : Json(), top}));
  }
  return out;
}

std::vector<EngineLogprob> logprobs_from(const Json& json) {
  std::vector<EngineLogprob> out;
  for (const Json& each : json) {
    EngineLogprob& one = out.emplace_back();
    if (!each.at(0).is_null()) {
      one.logprob = each.at(0).get<float>();
    }
    for (const Json& token : each.at(1)) {
      one.top.push_back({token.at(0).get<int32_t>(), token.at(1).get<float>()});
    }
  }
  return out;
}

Json json_of(const RecordedChoice& choice) {
  Json out = {{"tokens", choice.tokens}};
  if (choice.end) {
    out["end"] = kEnds.at(static_cast<size_t>(*choice.end));
  }
  if (choice.end_token >= 0) {
    out["end_token"] = choice.end_token;
  }
  if (!choice.logprobs.empty()) {
    out["logprobs"] = json_of(choice.logprobs);
  }
  return out;
}

RecordedChoice choice_from(const Json& json) {
  RecordedChoice out;
  out.tokens = json.at("tokens").get<std::vector<int32_t>>();
  if (const auto end = json.find("end"); end != json.end()) {
    out.end = named<EngineChoiceEnd::Reason>(kEnds, *end);
  }
  take(json, "end_token", out.end_token);
  if (const auto logprobs = json.find("logprobs"); logprobs != json.end()) {
    out.logprobs = logprobs_from(*logprobs);
  }
  return out;
}

}  // namespace

Json json_of(const RecordedRun& run) {
  Json out = Json::object();
  put_request(run.request, out);
  if (run.prefilled) {
    out["prefilled"] = {
        {"cached_tokens", run.prefilled->cached_tokens},
        {"seconds", run.prefilled->seconds}};
    if (!run.prefilled->logprobs.empty()) {
      out["prefilled"]["logprobs"] = json_of(run.prefilled->logprobs);
    }
    if (!run.prefilled->grammar_relaxed.empty()) {
      out["prefilled"]["grammar_relaxed"] = run.prefilled->grammar_relaxed;
    }
  }
  out["choices"] = Json::array();
  for (const RecordedChoice& choice : run.choices) {
    out["choices"].push_back(json_of(choice));
  }
  if (run.error) {
    out["error"] = {
        {"code", static_cast<int>(run.error->code)},
        {"what", run.error->what},
        {"hint", run.error->hint},
        {"param", run.error->param}};
  }
  return out;
}

RecordedRun run_from(const Json& json) {
  RecordedRun out;
  out.request = request_from(json);
  if (const auto found = json.find("prefilled"); found != json.end()) {
    EnginePrefilled& prefilled = out.prefilled.emplace();
    take(*found, "cached_tokens", prefilled.cached_tokens);
    take(*found, "seconds", prefilled.seconds);
    take(*found, "grammar_relaxed", prefilled.grammar_relaxed);
    if (const auto logprobs = found->find("logprobs");
        logprobs != found->end()) {
      prefilled.logprobs = logprobs_from(*logprobs);
    }
  }
  for (const Json& choice : json.at("choices")) {
    out.choices.push_back(choice_from(choice));
  }
  if (const auto error = json.find("error"); error != json.end()) {
    Error& one = out.error.emplace();
    const int code = error->at("code").get<int>();
    if (code < 0 || code > static_cast<int>(ErrorCode::internal)) {
      throw std::invalid_argument("an error's code is not known");
    }
    one.code = static_cast<ErrorCode>(code);
    take(*error, "what", one.what);
    take(*error, "hint", one.hint);
    take(*error, "param", one.param);
  }
  return out;
}

}  // namespace rapid
