#include "engine/chat_prompt.h"

#include <fmt/format.h>

#include <cmath>
#include <utility>

#include "base/json.h"
#include "engine/history.h"

namespace rapid {
namespace {

constexpr float kTemperature = 0.7f;
constexpr float kTopP = 0.9f;
constexpr int kMostChoices = 128;
constexpr int kMostLogprobs = 20;

Error bad(std::string param, std::string what, std::string hint = "") {
  return {
      ErrorCode::invalid_argument,
      std::move(what),
      std::move(hint),
      std::move(param)};
}

Json tool_json(const chat::Tool& tool) {
  if (!tool.declaration.is_null()) {
    return tool.declaration;
  }
  Json function = Json::object();
  function["name"] = tool.name;
  function["description"] = tool.description;
  function["parameters"] = tool.parameters;
  Json out = Json::object();
  out["type"] = "function";
  out["function"] = std::move(function);
  return out;
}

Result<EnginePrompt> chat_prompt(
    const TextModel& model, const chat::Request& request) {
  if (model.codec->template_source().empty()) {
    return Error{
        ErrorCode::unsupported,
        "the model " + model.name + " has no chat template",
        "send plain text to /v1/completions, or use an instruct model",
        "messages"};
  }
  TemplateInput input;
  if (!request.tools.empty() &&
      request.tool_choice.kind != chat::ToolChoice::Kind::none) {
    input.tools = Json::array();
    for (const chat::Tool& tool : request.tools) {
      input.tools.push_back(tool_json(tool));
    }
  }
  input.extra = request.template_kwargs;
  const auto render = [&](const TemplateInput& filled) {
    return model.codec->render(filled);
  };
  RAPID_TRY(
      RenderedPrompt rendered,
      render_history(
          render, request.messages, std::move(input), model.history));
  EnginePrompt out;
  out.ids = model.codec->encode(
      rendered.text,
      {.add_special = false,
       .parse_special = true,
       .untrusted = rendered.user_spans});
  out.text = std::move(rendered.text);
  return out;
}

EnginePrompt raw_prompt(
    const TextModel& model, const chat::Request::Prompt& prompt) {
  EnginePrompt out;
  if (const auto* text = std::get_if<std::string>(&prompt)) {
    out.ids = model.codec->encode(
        *text, {.add_special = true, .parse_special = true});
    out.text = *text;
  } else {
    out.ids = std::get<std::vector<int32_t>>(prompt);
    out.text = model.codec->decode(out.ids);
  }
  return out;
}

Status check_sampling(const chat::Sampling& sampling, int32_t vocabulary) {
  const auto range = [](const char* name,
                        const std::optional<float>& value,
                        float low,
                        float high) -> Status {
    if (value && !(*value >= low && *value <= high)) {
      return bad(
          name,
          fmt::format(
              "{} must be between {} and {}, got {}", name, low, high, *value));
    }
    return {};
  };
  RAPID_CHECK(range("temperature", sampling.temperature, 0, 2));
  RAPID_CHECK(range("top_p", sampling.top_p, 0, 1));
  RAPID_CHECK(range("min_p", sampling.min_p, 0, 1));
  RAPID_CHECK(range("presence_penalty", sampling.presence_penalty, -2, 2));
  RAPID_CHECK(range("frequency_penalty", sampling.frequency_penalty, -2, 2));
  RAPID_CHECK(range("repetition_penalty", sampling.repetition_penalty, 0, 2));
  if (sampling.repetition_penalty == 0.0f) {
    return bad("repetition_penalty", "repetition_penalty must be above 0");
  }
  if (sampling.top_k && *sampling.top_k < -1) {
    return bad("top_k", "top_k must be -1 or 0 (off) or a number of tokens");
  }
  for (const auto& [id, bias] : sampling.logit_bias) {
    if (id < 0 || id >= vocabulary) {
      return bad(
          "logit_bias",
          fmt::format(
              "logit_bias names token {}, the vocabulary has {}",
              id,
              vocabulary));
    }
    if (!(std::abs(bias) <= 100)) {
      return bad("logit_bias", "logit_bias must be between -100 and 100");
    }
  }
  return {};
}

}  // namespace

Result<std::vector<EnginePrompt>> build_prompts(
    const TextModel& model, const chat::Request& request) {
  std::vector<EnginePrompt> out;
  if (!request.messages.empty()) {
    RAPID_TRY(EnginePrompt prompt, chat_prompt(model, request));
    out.push_back(std::move(prompt));
  }
  for (size_t i = 0; request.messages.empty() && i < request.prompts.size();
       ++i) {
    out.push_back(raw_prompt(model, request.prompts[i]));
  }
  if (out.empty()) {
    return bad("messages", "the request has neither messages nor a prompt");
  }
  for (const EnginePrompt& prompt : out) {
    if (prompt.ids.empty()) {
      return bad("prompt", "the prompt is empty: it has no tokens");
    }
  }
  return out;
}

Status check_request(const chat::Request& request, int32_t vocabulary) {
  const size_t prompts =
      request.messages.empty() ? request.prompts.size() : size_t{1};
  if (request.choices < 1 ||
      static_cast<size_t>(request.choices) * prompts > kMostChoices) {
    return bad(
        "n",
        fmt::format(
            "n times the number of prompts must be 1 to {}", kMostChoices));
  }
  if (request.max_tokens && *request.max_tokens < 0) {
    return bad("max_tokens", "max_tokens must not be negative");
  }
  if (request.logprobs &&
      (*request.logprobs < 0 || *request.logprobs > kMostLogprobs)) {
    return bad(
        "logprobs",
        fmt::format("logprobs must be between 0 and {}", kMostLogprobs));
  }
  for (const std::string& stop : request.stop) {
    if (stop.empty()) {
      return bad("stop", "a stop string must not be empty");
    }
  }
  return check_sampling(request.sampling, vocabulary);
}

SamplingOptions sampling_options(
    const chat::Sampling& request,
    const chat::Sampling& defaults,
    uint64_t seed) {
  const auto pick = [](const auto& first, const auto& second, auto last) {
    return first ? *first : second ? *second : last;
  };
  const chat::Sampling& d = defaults;
  SamplingOptions out;
  out.temperature = pick(request.temperature, d.temperature, kTemperature);
  out.top_p = pick(request.top_p, d.top_p, kTopP);
  out.top_k = pick(request.top_k, d.top_k, 0);
  out.min_p = pick(request.min_p, d.min_p, 0.0f);
  out.repetition_penalty =
      pick(request.repetition_penalty, d.repetition_penalty, 1.0f);
  out.presence_penalty =
      pick(request.presence_penalty, d.presence_penalty, 0.0f);
  out.frequency_penalty =
      pick(request.frequency_penalty, d.frequency_penalty, 0.0f);
  out.logit_bias.assign(request.logit_bias.begin(), request.logit_bias.end());
  out.seed = request.seed.value_or(seed);
  return out;
}

}  // namespace rapid
