#include "engine/chat_prompt.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <utility>

#include "base/json.h"
#include "base/log.h"
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

// System prompts carry dates and headers of billing: they are no part of what
// a turn is known by.
bool is_system(const chat::Message& message) {
  return message.role == "system" || message.role == "developer";
}

// The turns that the ledger knows; the chain then stands behind the history.
std::vector<KnownTurn> known_turns(
    const TextModel& model,
    const std::vector<chat::Message>& messages,
    const PromptOptions& options,
    EnginePrompt& out) {
  std::vector<KnownTurn> known;
  if (options.ledger == nullptr) {
    return known;
  }
  for (const chat::Message& message :
       canonical_history(messages, model.history.knows_developer)) {
    if (is_system(message)) {
      continue;
    }
    const LedgerTurn turn = ledger_turn(message);
    if (message.role == "assistant") {
      auto match = options.ledger->find(out.chain, turn);
      if (match && !match->tokens.empty()) {
        known.push_back(
            {.message = message.origin,
             .head = std::move(match->head),
             .tokens = std::move(match->tokens),
             .by_place = match->by == LedgerMatch::By::place,
             .hidden = match->hidden});
      }
      out.retokenised.push_back(message.origin);
    }
    out.chain.add(message.role, turn);
  }
  return known;
}

using RenderMessages =
    std::function<Result<RenderedPrompt>(const std::vector<chat::Message>&)>;

// Asks the template whether it keeps the reasoning of hidden turns; those of
// which it does not, or which cannot be spliced, leave `known`.
Status follow_template(
    const RenderMessages& render,
    const std::vector<chat::Message>& messages,
    const TurnMarks& marks,
    std::vector<KnownTurn>& known) {
  constexpr std::string_view kProbe = "probe-of-kept-reasoning";
  std::vector<chat::Message> probing = messages;
  for (const KnownTurn& turn : known) {
    if (turn.hidden) {
      probing.at(static_cast<size_t>(turn.message)).reasoning = kProbe;
    }
  }
  RAPID_TRY(const RenderedPrompt prompt, render(probing));
  std::vector<int> kept;
  for (const Splice& splice : find_splices(prompt, known, marks)) {
    const auto text = std::string_view(prompt.text)
                          .substr(splice.begin, splice.end - splice.begin);
    if (!splice.turn->hidden || text.find(kProbe) != std::string::npos) {
      kept.push_back(splice.turn->message);
    }
  }
  std::erase_if(known, [&](const KnownTurn& turn) {
    return turn.hidden && std::ranges::find(kept, turn.message) == kept.end();
  });
  return {};
}

// Where messages begin, the last one's place behind all of them being where the
// answer will.
std::vector<TextMark> border_marks(
    const RenderedPrompt& prompt, const std::string& opening) {
  std::vector<TextMark> out;
  for (const MessageSpan& span : prompt.messages) {
    out.push_back({span.begin});
  }
  if (!out.empty()) {
    const size_t end = prompt.messages.back().end;
    const bool opens =
        std::string_view(prompt.text).substr(end).starts_with(opening);
    out.push_back({opens ? end + opening.size() : end});
  }
  return out;
}

PromptBorders borders_of(
    const RenderedPrompt& prompt,
    std::span<const TextMark> marks,
    const std::vector<chat::Message>& messages) {
  PromptBorders out;
  for (size_t i = 0; i < prompt.messages.size(); ++i) {
    const int origin = prompt.messages[i].origin;
    const bool first =
        i == 0 || prompt.messages[i - 1].origin != origin || origin < 0;
    const int tokens = marks[i].tokens;
    if (!first || tokens == 0 || origin < 0) {
      continue;
    }
    const bool system = is_system(messages.at(static_cast<size_t>(origin)));
    if (out.front == 0 && !system) {
      out.front = tokens;
    } else if (out.front > 0) {
      out.messages.push_back(tokens);
    }
  }
  out.turn = marks.empty() ? 0 : marks.back().tokens;
  return out;
}

Result<EnginePrompt> chat_prompt(
    const TextModel& model,
    const chat::Request& request,
    const PromptOptions& options) {
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
    for (const chat::Tool& tool : request.tools) {
      if (!tool.deferred) {
        input.tools.push_back(tool_json(tool));
      }
    }
  }
  input.extra = request.template_kwargs;
  const auto render = [&](const TemplateInput& filled) {
    return model.codec->render(filled);
  };
  input.find_messages = options.ledger != nullptr || options.borders;
  const auto render_messages = [&](const std::vector<chat::Message>& messages) {
    return render_history(render, messages, input, model.history);
  };
  EnginePrompt out;
  out.chain = TurnChain(request.adapter);
  std::vector<KnownTurn> known =
      known_turns(model, request.messages, options, out);
  const size_t found = known.size();
  const auto hidden = [](const KnownTurn& turn) { return turn.hidden; };
  if (options.template_history && std::ranges::any_of(known, hidden)) {
    RAPID_CHECK(follow_template(
        render_messages, request.messages, model.turn_marks, known));
  }
  RAPID_TRY(RenderedPrompt rendered, render_messages(request.messages));
  const auto splices = find_splices(rendered, known, model.turn_marks);
  std::vector<TextMark> marks;
  if (options.borders) {
    marks = border_marks(rendered, model.turn_marks.opening);
  }
  out.ids = encode_spliced(*model.codec, rendered, splices, marks);
  if (options.borders) {
    out.borders = borders_of(rendered, marks, request.messages);
  }
  out.head = head_of(rendered);
  out.spliced = static_cast<int>(splices.size());
  for (const Splice& splice : splices) {
    std::erase(out.retokenised, splice.turn->message);
  }
  if (splices.size() < found) {
    spdlog::debug(
        "{} of {} known turns stay as the template writes them",
        found - splices.size(),
        found);
  }
  out.text = std::move(rendered.text);
  return out;
}

// What is to be embedded is somebody's text, nothing in it is control.
EnginePrompt raw_prompt(
    const TextModel& model,
    const chat::Request::Prompt& prompt,
    bool embedding) {
  EnginePrompt out;
  if (const auto* text = std::get_if<std::string>(&prompt)) {
    out.ids = model.codec->encode(
        *text, {.add_special = true, .parse_special = !embedding});
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

LedgerTurn ledger_turn(const chat::Message& message) {
  LedgerTurn out{.text = message.content};
  for (const chat::ToolCall& call : message.tool_calls) {
    out.calls.push_back({call.id, call.name, call.arguments});
  }
  return out;
}

Result<std::vector<EnginePrompt>> build_prompts(
    const TextModel& model,
    const chat::Request& request,
    const PromptOptions& options) {
  std::vector<EnginePrompt> out;
  if (!request.messages.empty()) {
    RAPID_TRY(EnginePrompt prompt, chat_prompt(model, request, options));
    out.push_back(std::move(prompt));
  }
  for (size_t i = 0; request.messages.empty() && i < request.prompts.size();
       ++i) {
    out.push_back(
        raw_prompt(model, request.prompts[i], request.embedding.has_value()));
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
