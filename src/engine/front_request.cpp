#include "engine/front_request.h"

#include <fmt/format.h>

#include <algorithm>
#include <random>
#include <utility>

#include "base/fnv.h"
#include "engine/reasoning_budget.h"
#include "formats/reasoning.h"

namespace rapid {
namespace {

uint64_t random_seed() {
  thread_local std::random_device device;
  return (uint64_t{device()} << 32) ^ device();
}

// So that one seed gives other call ids in the next turn.
uint64_t call_key(uint64_t seed, const std::vector<int32_t>& ids) {
  Fnv1a hash(seed);
  hash.add(ids);
  return hash.value();
}

Status check_context(
    const EnginePrompt& prompt,
    const chat::Request& request,
    const EngineInfo& info) {
  const int context = info.context_length;
  const int length = static_cast<int>(prompt.ids.size());
  const int room = request.max_tokens == 0 ? 0 : 1;
  if (length + room > context) {
    const std::string param = request.messages.empty() ? "prompt" : "messages";
    if (context < info.memory.model_context) {
      Error out =
          prompt_too_long(info.memory, length, state_budget(info.memory));
      out.param = param;
      return out;
    }
    return Error{
        ErrorCode::context_length,
        fmt::format(
            "the prompt has {} tokens, the context holds {} with at least one "
            "for the answer",
            length,
            context),
        "shorten the conversation, or start the server with a larger --ctx",
        param};
  }
  return {};
}

Status check_ids(const EnginePrompt& prompt, int vocabulary) {
  for (const int32_t id : prompt.ids) {
    if (id < 0 || id >= vocabulary) {
      return Error{
          ErrorCode::invalid_argument,
          fmt::format(
              "token id {} is outside of the vocabulary of {}", id, vocabulary),
          "",
          "prompt"};
    }
  }
  return {};
}

// The text of the last few tokens.
std::string end_of(const TextModel& model, const std::vector<int32_t>& ids) {
  constexpr size_t kTokens = 12;
  std::string out;
  for (size_t i = ids.size() - std::min(ids.size(), kTokens); i < ids.size();
       ++i) {
    out += model.codec->token_bytes(ids[i]);
  }
  return out;
}

GenerateRequest base_request(
    const TextModel& model,
    const EngineInfo& info,
    const chat::Request& request,
    const FrontPart& part,
    uint64_t seed) {
  GenerateRequest out;
  out.sampling = sampling_options(request.sampling, model.defaults, seed);
  out.choices = request.choices;
  const int room =
      info.context_length - static_cast<int>(part.prompt.ids.size());
  out.max_tokens = request.max_tokens.value_or(room);
  out.use_cache = request.use_cache;
  out.lane = request.lane;
  out.borders = part.prompt.borders;
  if (!request.prediction.empty()) {
    out.prediction =
        model.codec->encode(request.prediction, {.parse_special = false});
  }
  out.adapter = request.adapter;
  // More than there can be is no wish either: agents send what is a large
  // model's most.
  out.may_shorten = request.may_shorten || !request.max_tokens.has_value() ||
                    *request.max_tokens > room;
  if (!request.ignore_end) {
    out.end_tokens = model.end_tokens;
  }
  out.logprobs = request.logprobs;
  if (request.echo) {
    out.prompt_logprobs = request.logprobs;
  }
  out.embedding = request.embedding;
  out.grammar = part.constraint.grammar;
  out.grammar_after = part.constraint.after;
  return out;
}

// What all choices of a request have in common.
ChoiceOptions choice_options(
    const TextModel& model,
    const FrontOptions& options,
    const chat::Request& request) {
  ChoiceOptions out;
  // Raw prompts have no roles and no tools: what comes is text.
  const bool chat = !request.messages.empty();
  const FormatRegistry& formats = FormatRegistry::global();
  out.format = chat ? model.format : formats.find("plain");
  if (out.format == formats.find("plain") && wants_calls(request)) {
    out.format = formats.find("auto");  // it reads what the grammar made
  }
  out.input.tools = request.tools;
  out.input.tool_choice = request.tool_choice;
  out.input.reasoning =
      chat ? reasoning_for(*model.format, model.reasoning) : nullptr;
  out.stop = request.stop;
  out.logprobs = request.logprobs.has_value();
  // Benches want the tokens, whatever they are.
  out.loop_guard = request.ignore_end ? LoopGuard::off : options.loop_guard;
  if (options.loop_guard != LoopGuard::off) {
    out.call_loop = find_call_loop(request.messages);
  }
  out.strict_calls = wants_strict_calls(request);
  out.single_call = !request.parallel_calls;
  if (out.input.reasoning != nullptr) {
    out.reasoning_budget =
        reasoning_budget(request, model.codec->template_source());
  }
  return out;
}

}  // namespace

PromptOptions prompt_options(
    const FrontOptions& options, const chat::Request& request) {
  return {
      .ledger = options.ledger.get(),
      .template_history = request.history.empty()
                              ? options.template_history
                              : request.history == "template"};
}

Result<std::shared_ptr<FrontRequest>> make_front_request(
    const std::shared_ptr<const TextModel>& model,
    const EngineInfo& info,
    const FrontOptions& options,
    const chat::Request& request) {
  RAPID_CHECK(check_request(request, info.vocabulary));
  if (!request.adapter.empty() &&
      std::ranges::find(info.adapters, request.adapter) ==
          info.adapters.end()) {
    return no_adapter(info, request.adapter);
  }
  PromptOptions wanted = prompt_options(options, request);
  wanted.borders = info.memory.states.snapshot_bytes() > 0;
  RAPID_TRY(
      std::vector<EnginePrompt> prompts,
      build_prompts(*model, request, wanted));
  ChoiceOptions common = choice_options(*model, options, request);
  const ReasoningStyle* style = common.input.reasoning;
  const uint64_t seed = request.sampling.seed.value_or(random_seed());
  auto out = std::make_shared<FrontRequest>();
  out->echo = request.echo;
  if (options.ledger && request.use_cache && !request.tools.empty()) {
    out->asked = std::make_shared<const chat::Request>(request);
  }
  out->input = common.input;
  for (EnginePrompt& prompt : prompts) {
    if (request.embedding && request.may_cut) {
      prompt.ids.resize(std::min(
          prompt.ids.size(), static_cast<size_t>(info.context_length)));
    }
    RAPID_CHECK(check_ids(prompt, info.vocabulary));
    RAPID_CHECK(check_context(prompt, request, info));
    common.input.thinking =
        style ? thinking_of_prompt(*style, end_of(*model, prompt.ids))
              : Thinking::automatic;
    FrontPart part;
    RAPID_TRY(
        part.constraint,
        make_constraint(*model, request, style, common.input.thinking));
    common.redecode = options.redecode && !part.constraint.grammar;
    common.strict_calls &= !part.constraint.grammar;
    common.call_key = call_key(seed, prompt.ids);
    for (int c = 0; c < request.choices; ++c) {
      part.choices.push_back({ChoiceText(model, common), c});
      ++common.choice;
    }
    if (prompts.size() == 1 && !request.embedding) {
      out->logged = PromptLog::open(request, prompt);
    }
    part.prompt = std::move(prompt);
    part.base = base_request(*model, info, request, part, seed);
    out->usage.prompt_tokens += static_cast<int>(part.prompt.ids.size());
    out->relaxed = part.constraint.relaxed;
    out->parts.push_back(std::move(part));
  }
  return out;
}

GenerateRequest go_on(
    const TextModel& model,
    const FrontRequest& request,
    const FrontPart& part,
    FrontChoice& choice,
    const Detour& detour,
    std::vector<chat::Event>& out) {
  using Kind = Detour::Kind;
  GenerateRequest next = part.base;
  next.choices = 1;
  next.prompt_logprobs.reset();
  const ReasoningStyle* style = request.input.reasoning;
  if (detour.kind == Kind::close_thought && style != nullptr) {
    const bool to_answer = part.constraint.grammar ||
                           request.input.tools.empty() || detour.attempt > 1;
    const auto ids = model.codec->encode(
        closing_text(*style, to_answer), {.parse_special = true});
    choice.text.write(ids, out);
    if (part.constraint.behind) {
      next.grammar = part.constraint.behind;
    }
    next.grammar_after.clear();
    // No second thought behind the first.
    if (const auto open = model.codec->marker(style->open)) {
      next.sampling.logit_bias.emplace_back(*open, -1e9f);
    }
  } else if (detour.kind == Kind::strict_call) {
    next.grammar =
        strict_call(model, request.input, detour.prefix, detour.attempt > 1);
    next.grammar_then_free = true;
  } else if (detour.kind == Kind::no_call) {
    next.sampling.logit_bias.emplace_back(detour.banned, -1e9f);
  }
  choice.restricted = detour.kind == Kind::strict_call;
  const std::vector<int32_t> answer = choice.text.answer();
  const int answered = static_cast<int>(answer.size());
  next.prompt = part.prompt.ids;
  next.prompt.insert(next.prompt.end(), answer.begin(), answer.end());
  next.max_tokens = std::max(0, next.max_tokens - answered);
  next.resume = Resumption{choice.number, answered};
  return next;
}

}  // namespace rapid
