#include "engine/turn_record.h"

#include <fmt/format.h>

#include <algorithm>
#include <span>
#include <system_error>
#include <variant>

#include "formats/tool_set.h"

namespace rapid {
namespace {

FrontChoice& choice_of(FrontRequest& request, int choice) {
  const size_t each = request.parts.at(0).choices.size();
  const auto index = static_cast<size_t>(choice);
  return request.parts.at(index / each).choices.at(index % each);
}

// As its tokens, or, where those are not what was given out, as one that the
// template writes.
void record(TurnLedger& ledger, const FrontPart& part, FrontChoice& choice) {
  const bool blank =
      choice.given.text.find_first_not_of(" \t\r\n") == std::string::npos;
  if (part.prompt.head.empty() || (blank && choice.given.calls.empty())) {
    return;
  }
  const bool hidden = choice.thought || choice.text.reasoning_tokens() > 0;
  ledger.record(
      part.prompt.chain,
      choice.given,
      choice.whole ? choice.text.answer() : std::vector<int32_t>(),
      hidden,
      part.prompt.head);
}

}  // namespace

std::shared_ptr<TurnLedger> open_turn_ledger(
    const TextModel& model, const std::filesystem::path& folder) {
  std::error_code none;
  const auto path = std::filesystem::weakly_canonical(model.path, none);
  return std::make_shared<TurnLedger>(TurnLedger::Options{
      .path = folder.empty() ? ":memory:" : folder / "turns.sqlite",
      .scope = fmt::format(
          "{}\n{}\n{}\n{}",
          path.string(),
          model.created,
          model.codec->size(),
          model.codec->template_source())});
}

bool calls_as_usual(const TextModel& model, const ChoiceText& text) {
  if (text.calls() == 0 || !model.history.render_calls) {
    return true;
  }
  const chat::ToolCall probe{
      .id = "call_0", .name = "probe_of_a_call", .arguments = "{}"};
  const std::string written =
      model.history.render_calls(std::span(&probe, 1), ToolSet(FormatInput{}));
  const size_t name = written.find(probe.name);
  const size_t begin = written.find_first_not_of(" \t\r\n");
  if (name == std::string::npos || begin >= name) {
    return true;
  }
  const size_t end = std::min(name, written.find_first_of(" \t\r\n", begin));
  std::string bytes;
  for (const int32_t id : text.answer()) {
    bytes += model.codec->token_bytes(id);
  }
  return bytes.find(written.substr(begin, end - begin)) != std::string::npos;
}

bool is_whole_turn(const FrontChoice& choice, const EngineChoiceEnd& event) {
  using Reason = EngineChoiceEnd::Reason;
  if (event.reason == Reason::length) {
    // A call that the limit cut may be given out without its closing tag.
    return choice.text.complete() && choice.text.calls() == 0;
  }
  return event.reason == Reason::end_token && choice.text.complete();
}

void note_given(
    FrontRequest& request, const chat::Event& event, TurnLedger* ledger) {
  if (ledger == nullptr) {
    return;
  }
  if (const auto* delta = std::get_if<chat::Delta>(&event)) {
    FrontChoice& choice = choice_of(request, delta->choice);
    if (delta->kind == chat::Delta::Kind::content) {
      choice.given.text += delta->text;
    } else {
      choice.thought = true;
    }
  } else if (const auto* call = std::get_if<chat::ToolCallEvent>(&event)) {
    choice_of(request, call->choice)
        .given.calls.push_back(
            {call->call.id, call->call.name, call->call.arguments});
  } else if (const auto* bad = std::get_if<chat::Rejected>(&event)) {
    choice_of(request, bad->choice).given.text += bad->raw;
  } else if (const auto* end = std::get_if<chat::Finished>(&event)) {
    const size_t each = request.parts.at(0).choices.size();
    record(
        *ledger,
        request.parts.at(static_cast<size_t>(end->choice) / each),
        choice_of(request, end->choice));
  }
}

}  // namespace rapid
