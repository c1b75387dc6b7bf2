#include "engine/next_turn.h"

#include <algorithm>
#include <utility>

namespace rapid {

std::optional<AnsweredTurn> turn_to_rewrite(const FrontRequest& request) {
  if (!request.asked || request.parts.size() != 1 ||
      request.parts[0].choices.size() != 1) {
    return std::nullopt;
  }
  const FrontChoice& choice = request.parts[0].choices[0];
  const bool thought = choice.thought || choice.text.reasoning_tokens() > 0;
  if (choice.whole || thought || choice.given.calls.empty()) {
    return std::nullopt;
  }
  return AnsweredTurn{request.asked, choice.given, request.parts[0].prompt};
}

std::optional<NextTurn> begin_next_turn(
    const TextModel& model,
    const AnsweredTurn& turn,
    PromptOptions options,
    int context) {
  chat::Request next = *turn.asked;
  chat::Message answer{.role = "assistant", .content = turn.given.text};
  for (const auto& call : turn.given.calls) {
    answer.tool_calls.push_back({call.id, call.name, call.arguments});
  }
  next.messages.push_back(std::move(answer));
  for (const auto& call : turn.given.calls) {
    next.messages.push_back(
        {.role = "tool", .content = "ok", .tool_call_id = call.id});
  }
  options.borders = true;
  const auto prompts = build_prompts(model, next, options);
  if (!prompts) {
    return std::nullopt;
  }
  // Everything before the results' first text.
  const EnginePrompt& prompt = prompts->at(0);
  const auto& borders = prompt.borders.messages;
  const size_t behind = turn.given.calls.size();
  if (borders.size() < behind) {
    return std::nullopt;
  }
  const int length = borders[borders.size() - behind];
  if (length <= 0 || length > context) {
    return std::nullopt;
  }
  NextTurn out;
  GenerateRequest& request = out.request;
  request.prompt.assign(prompt.ids.begin(), prompt.ids.begin() + length);
  request.lane = next.lane;
  request.adapter = next.adapter;
  request.borders = prompt.borders;
  request.borders.messages.resize(borders.size() - behind);
  request.borders.turn = 0;
  const auto [asked, begin] =
      std::ranges::mismatch(turn.prompt.ids, request.prompt);
  const auto end = std::find_first_of(
      begin,
      request.prompt.end(),
      model.end_tokens.begin(),
      model.end_tokens.end());
  if (asked == turn.prompt.ids.end() && end != request.prompt.end()) {
    out.answer.assign(begin, end);
  }
  return out;
}

}  // namespace rapid
