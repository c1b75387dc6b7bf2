#include "engine/choice_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "base/utf8.h"
#include "cache/canonical_arguments.h"
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
      machine_(*options_.format, options_.input),
      stops_(options_.stop) {}

void ChoiceText::token(
    const EngineToken& token, std::vector<chat::Event>& out) {
  if (finished_ || detour_) {
    return;
  }
  read(token, out);
  if (finished_ || detour_ || options_.loop_guard == LoopGuard::off) {
    return;
  }
  repeats_.push(token.token);
  const auto& loop = repeats_.found();
  if (options_.loop_guard == LoopGuard::stop && loop &&
      loop->repeats * loop->period >= 2 * loop_tokens(loop->period)) {
    options_.redecode = false;
    end(FinishCause::end, out);
  }
}

void ChoiceText::write(
    std::span<const int32_t> ids, std::vector<chat::Event>& out) {
  const auto budget = std::exchange(options_.reasoning_budget, std::nullopt);
  for (const int32_t id : ids) {
    token({options_.choice, id, std::nullopt}, out);
  }
  options_.reasoning_budget = budget;
}

void ChoiceText::read(const EngineToken& token, std::vector<chat::Event>& out) {
  const size_t first = out.size();
  const size_t held_from = machine_.text().size() - machine_.held();
  const bool thinking = machine_.thinking();
  const std::string piece = stream_->push(token.token);
  const size_t fed = machine_.text().size() + piece.size();
  answer_.push_back({token.token, fed, false, thinking});
  thought_tokens_ += thinking ? 1 : 0;
  if (options_.logprobs && token.logprob) {
    pending_.push_back(
        {fed, token_logprob(*model_->codec, token.token, *token.logprob)});
  }
  if (piece.empty()) {
    return;
  }
  std::vector<FormatEvent> events;
  machine_.feed(piece, events);
  answer_.back().thought =
      std::ranges::any_of(events, [](const FormatEvent& event) {
        return std::holds_alternative<FormatReasoning>(event);
      });
  if (leave(events, held_from, out)) {
    return;
  }
  take(events, out);
  if (stopped_) {
    finish(FinishCause::end, first, out);
    return;
  }
  const size_t held = machine_.held() + stops_.held();
  attach(fed - std::min(fed, held), first, out);
  watch_budget();
}

void ChoiceText::end(FinishCause cause, std::vector<chat::Event>& out) {
  if (finished_ || detour_) {
    return;
  }
  const size_t first = out.size();
  const size_t held_from = machine_.text().size() - machine_.held();
  std::vector<FormatEvent> events;
  const std::string rest = stream_->flush();
  if (!rest.empty()) {
    machine_.feed(rest, events);
  }
  std::vector<FormatEvent> last;
  machine_.finish(cause, last);
  if (cause == FinishCause::end && rest.empty() &&
      leave(last, held_from, out)) {
    forgotten_end_ = cause;
    return;
  }
  take(events, out);
  take(last, out);
  release_content(out);
  finish(stopped_ ? FinishCause::end : cause, first, out);
}

// Events that ask for a detour; `held_from` is where the text begins that they
// are made of.
bool ChoiceText::leave(
    const std::vector<FormatEvent>& events,
    size_t held_from,
    std::vector<chat::Event>& out) {
  if (stopped_) {
    return false;
  }
  using Kind = Detour::Kind;
  const std::string& text = machine_.text();
  for (const FormatEvent& event : events) {
    const auto* rejected = std::get_if<FormatRejected>(&event);
    if (rejected != nullptr && options_.redecode) {
      return take_back(
          Kind::strict_call, text.find(rejected->raw, held_from), out);
    }
    const auto* call = std::get_if<FormatCall>(&event);
    if (call != nullptr && is_looped(*call)) {
      const size_t at = text.find_first_not_of(" \t\r\n", held_from);
      return take_back(Kind::no_call, at, out);
    }
  }
  const size_t open =
      options_.strict_calls && events.empty() ? machine_.open_call() : 0;
  const size_t at = text.size() - open;
  return open > 0 && (detours_ == 0 || at != left_at_) &&
         take_back(Kind::strict_call, at, out);
}

bool ChoiceText::is_looped(const FormatCall& call) const {
  return options_.loop_guard == LoopGuard::stop && options_.call_loop &&
         options_.call_loop->name == call.name &&
         options_.call_loop->arguments == canonical_arguments(call.arguments);
}

// Forgets the tokens from byte `at` of the text on.
bool ChoiceText::take_back(
    Detour::Kind kind, size_t at, std::vector<chat::Event>& out) {
  constexpr int kAttempts = 2;
  constexpr int kDetours = 32;
  if (at == std::string::npos || detours_ >= kDetours) {
    return false;
  }
  attempts_ = at == left_at_ && detours_ > 0 ? attempts_ + 1 : 1;
  left_at_ = at;
  if (attempts_ > kAttempts) {
    return false;
  }
  ++detours_;
  // The first place with this much text: tokens behind it without text may
  // hold the first bytes of a character.
  const auto keep = std::ranges::find_if(
      answer_, [&](const Sampled& token) { return token.end > at; });
  size_t count = static_cast<size_t>(keep - answer_.begin());
  const size_t bytes = count == 0 ? 0 : answer_[count - 1].end;
  while (count > 0 && (count == 1 ? 0 : answer_[count - 2].end) == bytes) {
    --count;
  }
  if (count == answer_.size()) {
    return false;
  }
  detour_ = Detour{
      .kind = kind,
      .keep = static_cast<int>(count),
      .prefix = machine_.text().substr(bytes, at - bytes),
      .attempt = attempts_,
      .banned = answer_[count].id};
  redecoded_ += kind == Detour::Kind::strict_call && !options_.strict_calls;
  forgotten_.clear();
  forgotten_end_.reset();
  for (size_t i = count; i < answer_.size(); ++i) {
    forgotten_.push_back({options_.choice, answer_[i].id, std::nullopt});
  }
  answer_.resize(count);
  end_tokens_ = 0;
  thought_tokens_ = static_cast<int>(
      std::ranges::count_if(answer_, [](const auto& t) { return t.inside; }));
  std::erase_if(pending_, [&](const Pending& one) { return one.end > bytes; });
  stream_ = model_->codec->stream(
      kept_tokens(*options_.format, options_.input.reasoning));
  repeats_ = RepeatDetector();
  for (const Sampled& token : answer_) {
    stream_->push(token.id);
    repeats_.push(token.id);
  }
  std::vector<FormatEvent> events;
  machine_.undo(bytes, events);
  take(events, out);
  return true;
}

void ChoiceText::give_up(std::vector<chat::Event>& out) {
  detour_.reset();
  options_.redecode = options_.strict_calls = false;
  options_.call_loop.reset();
  const auto tokens = std::exchange(forgotten_, {});
  const auto cause = std::exchange(forgotten_end_, std::nullopt);
  for (const EngineToken& token : tokens) {
    this->token(token, out);
  }
  if (cause) {
    end(*cause, out);
  }
}

// Asks for the close once; what is behind it may think again.
void ChoiceText::watch_budget() {
  constexpr int kCloses = 3;
  if (options_.reasoning_budget && machine_.thinking() &&
      thought_tokens_ >= *options_.reasoning_budget && closes_ < kCloses) {
    detour_ = Detour{
        .kind = Detour::Kind::close_thought,
        .keep = static_cast<int>(answer_.size()),
        .attempt = ++closes_};
  }
}

std::vector<int32_t> ChoiceText::answer() const {
  std::vector<int32_t> out;
  for (const Sampled& token : answer_) {
    out.push_back(token.id);
  }
  return out;
}

int ChoiceText::reasoning_tokens() const {
  return static_cast<int>(
      std::ranges::count_if(answer_, [](const auto& t) { return t.thought; }));
}

void ChoiceText::take(
    std::vector<FormatEvent>& events, std::vector<chat::Event>& out) {
  for (FormatEvent& event : events) {
    if (stopped_) {
      ends_at_call_ = false;
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
      take_call(*call, out);
    } else if (auto* raw = std::get_if<FormatRejected>(&event)) {
      last_is_call_ = false;
      out.push_back(chat::Rejected{
          options_.choice, std::move(raw->raw), std::move(raw->reason)});
    }
  }
}

void ChoiceText::take_call(FormatCall& call, std::vector<chat::Event>& out) {
  const int index = calls_++;
  last_is_call_ = true;
  out.push_back(chat::ToolCallEvent{
      options_.choice,
      index,
      {call_id(options_.call_key, options_.choice, index),
       std::move(call.name),
       std::move(call.arguments)}});
  stopped_ = options_.single_call;
  ends_at_call_ = stopped_ && machine_.held() == 0;
}

void ChoiceText::content(
    const std::string& text, std::vector<chat::Event>& out) {
  TagScanner::Step step = stops_.feed(text);
  if (step.match) {
    stopped_ = true;
    stop_ = options_.stop[*step.match];
  }
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
  chat::Finished finished;
  finished.choice = options_.choice;
  finished.reason = reason;
  finished.stop = stop_;
  finished.redecoded = redecoded_;
  finished.token_loop = repeats_.found();
  finished.call_loop = options_.call_loop;
  out.emplace_back(std::move(finished));
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
