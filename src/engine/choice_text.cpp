#include "engine/choice_text.h"

#include <fmt/format.h>

#include <limits>
#include <utility>

#include "base/utf8.h"
#include "formats/reasoning.h"
#include "sampling/philox.h"

namespace rapid {
namespace {

std::string token_text(const std::string& bytes) {
  if (utf8_valid(bytes)) {
    return bytes;
  }
  std::string out = "bytes:";
  for (const char c : bytes) {
    out += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
  }
  return out;
}

}  // namespace

chat::TokenLogprob token_logprob(
    const TextCodec& codec, int32_t id, const EngineLogprob& scored) {
  chat::TokenLogprob out;
  out.id = id;
  out.bytes = codec.token_bytes(id);
  out.text = token_text(out.bytes);
  out.logprob = scored.logprob;
  for (const ScoredToken& other : scored.top) {
    out.top.push_back(
        {other.id, token_text(codec.token_bytes(other.id)), other.logprob});
  }
  return out;
}

ChoiceText::ChoiceText(
    std::shared_ptr<const TextModel> model, ChoiceOptions options)
    : model_(std::move(model)),
      options_(std::move(options)),
      stream_(model_->codec->stream(
          kept_tokens(*options_.format, options_.input.reasoning))),
      machine_(start_machine(*options_.format, options_.input)),
      stops_(options_.stop) {}

void ChoiceText::token(
    const EngineToken& token, std::vector<chat::Event>& out) {
  if (finished_) {
    return;
  }
  read(token, out);
  if (finished_ || options_.loop_guard == LoopGuard::off) {
    return;
  }
  repeats_.push(token.token);
  const auto& loop = repeats_.found();
  if (options_.loop_guard == LoopGuard::stop && loop &&
      loop->repeats * loop->period >= 2 * loop_tokens(loop->period)) {
    end(FinishCause::end, out);
  }
}

void ChoiceText::read(const EngineToken& token, std::vector<chat::Event>& out) {
  ++tokens_;
  const size_t first = out.size();
  const std::string piece = stream_->push(token.token);
  fed_ += piece.size();
  if (options_.logprobs && token.logprob) {
    pending_.push_back(
        {fed_, token_logprob(*model_->codec, token.token, *token.logprob)});
  }
  if (piece.empty()) {
    return;
  }
  std::vector<FormatEvent> events;
  machine_->feed(piece, events);
  for (const FormatEvent& event : events) {
    if (std::holds_alternative<FormatReasoning>(event)) {
      ++reasoning_tokens_;
      break;
    }
  }
  take(events, out);
  if (stopped_) {
    finish(FinishCause::end, first, out);
    return;
  }
  const size_t held = machine_->held() + stops_.held();
  attach(fed_ - std::min(fed_, held), first, out);
}

void ChoiceText::end(FinishCause cause, std::vector<chat::Event>& out) {
  if (finished_) {
    return;
  }
  const size_t first = out.size();
  std::vector<FormatEvent> events;
  const std::string rest = stream_->flush();
  if (!rest.empty()) {
    machine_->feed(rest, events);
  }
  machine_->finish(cause, events);
  take(events, out);
  release_content(out);
  finish(stopped_ ? FinishCause::end : cause, first, out);
}

void ChoiceText::take(
    std::vector<FormatEvent>& events, std::vector<chat::Event>& out) {
  for (FormatEvent& event : events) {
    if (stopped_) {
      return;
    }
    if (auto* text = std::get_if<FormatText>(&event)) {
      content(text->text, out);
      continue;
    }
    release_content(out);
    if (auto* thought = std::get_if<FormatReasoning>(&event)) {
      delta(chat::Delta::Kind::reasoning, std::move(thought->text), out);
    } else if (auto* call = std::get_if<FormatCall>(&event)) {
      const int index = calls_++;
      last_is_call_ = true;
      out.push_back(chat::ToolCallEvent{
          options_.choice,
          index,
          {call_id(options_.call_key, options_.choice, index),
           std::move(call->name),
           std::move(call->arguments)}});
    } else if (auto* raw = std::get_if<FormatRejected>(&event)) {
      last_is_call_ = false;
      out.push_back(chat::Rejected{
          options_.choice, std::move(raw->raw), std::move(raw->reason)});
    }
  }
}

void ChoiceText::content(
    const std::string& text, std::vector<chat::Event>& out) {
  TagScanner::Step step = stops_.feed(text);
  stopped_ = step.match.has_value();
  delta(chat::Delta::Kind::content, std::move(step.text), out);
}

void ChoiceText::release_content(std::vector<chat::Event>& out) {
  if (!stopped_) {
    delta(chat::Delta::Kind::content, stops_.flush(), out);
  }
}

void ChoiceText::delta(
    chat::Delta::Kind kind, std::string text, std::vector<chat::Event>& out) {
  if (text.empty()) {
    return;
  }
  last_is_call_ = false;
  out.push_back(chat::Delta{options_.choice, kind, std::move(text), {}});
}

// Gives the logprobs of text up to byte `until` to the last delta behind
// out[first].
void ChoiceText::attach(
    size_t until, size_t first, std::vector<chat::Event>& out) {
  for (size_t i = out.size(); i > first; --i) {
    auto* delta = std::get_if<chat::Delta>(&out[i - 1]);
    if (delta == nullptr) {
      continue;
    }
    while (!pending_.empty() && pending_.front().end <= until) {
      delta->logprobs.push_back(std::move(pending_.front().logprob));
      pending_.pop_front();
    }
    return;
  }
}

void ChoiceText::finish(
    FinishCause cause, size_t first, std::vector<chat::Event>& out) {
  constexpr size_t kAll = std::numeric_limits<size_t>::max();
  attach(kAll, first, out);
  if (!pending_.empty()) {
    out.push_back(
        chat::Delta{options_.choice, chat::Delta::Kind::content, "", {}});
    attach(kAll, out.size() - 1, out);
  }
  using Reason = chat::Finished::Reason;
  Reason reason = Reason::stop;
  if (cause == FinishCause::length) {
    // A call that was complete at the limit is what the client waits for.
    reason = last_is_call_ ? Reason::tool_calls : Reason::length;
  } else if (calls_ > 0) {
    reason = Reason::tool_calls;
  }
  out.push_back(chat::Finished{
      options_.choice, reason, repeats_.found(), options_.call_loop});
  finished_ = true;
}

std::string call_id(uint64_t key, int choice, int index) {
  const auto words = philox4x32(
      {static_cast<uint32_t>(index),
       static_cast<uint32_t>(choice),
       0x63616c6c,  // "call": apart from the sampler's draws
       0},
      {static_cast<uint32_t>(key), static_cast<uint32_t>(key >> 32)});
  return fmt::format("call_{:08x}{:08x}{:08x}", words[0], words[1], words[2]);
}

}  // namespace rapid
