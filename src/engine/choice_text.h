// One choice's way from tokens to events: streaming decode, output format,
// stop strings, logprobs. No threads; one per choice.
//
// A malformed call asks for a Detour instead of being rejected: the choice has
// then forgotten its tokens from the call on, and waits for others. So does
// a call that must be strict, one that a loop guard forbids, and reasoning
// over its budget. What was sent out stays true.
//
// Stop strings are looked for in content only, never in reasoning or in a
// call: an agent's stop word must not cut its arguments. Each token's logprob
// goes out once: with the delta that completes its text, or the next one, or
// at the end with a delta without text.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "chat/event.h"
#include "engine/detour.h"
#include "engine/engine.h"
#include "engine/front.h"
#include "engine/loop_guard.h"
#include "engine/rewindable_machine.h"
#include "formats/tag_scanner.h"

namespace rapid {

struct ChoiceOptions {
  int choice = 0;  // as the client counts
  const OutputFormat* format = nullptr;
  FormatInput input;
  std::vector<std::string> stop;
  bool logprobs = false;
  uint64_t call_key = 0;  // call ids are a function of it
  LoopGuard loop_guard = LoopGuard::off;
  std::optional<chat::CallLoop> call_loop;  // for Finished
  bool redecode = false;                    // malformed calls
  bool strict_calls = false;                // every call
  bool single_call = false;                 // ends behind the first one
  std::optional<int> reasoning_budget;      // tokens
};

// A token with its text and bytes, as the API shows it.
chat::TokenLogprob token_logprob(
    const TextCodec& codec, int32_t id, const EngineLogprob& scored);

// The same for the same arguments anywhere.
std::string call_id(uint64_t key, int choice, int index);

class ChoiceText {
 public:
  ChoiceText(std::shared_ptr<const TextModel> model, ChoiceOptions options);

  // Appends what became certain; after a stop string also Finished, and after
  // a loop where LoopGuard::stop asks for it.
  void token(const EngineToken& token, std::vector<chat::Event>& out);
  // Tokens that a detour writes itself.
  void write(std::span<const int32_t> ids, std::vector<chat::Event>& out);
  // The engine ended the choice. Appends the rest and Finished.
  void end(FinishCause cause, std::vector<chat::Event>& out);

  // What was asked for last; once. Until then nothing more may come.
  std::optional<Detour> take_detour() {
    return std::exchange(detour_, std::nullopt);
  }
  // A strict call cannot be had: brings the forgotten tokens back and rejects
  // them. Finished is appended if the choice had ended with them.
  void give_up(std::vector<chat::Event>& out);

  bool finished() const { return finished_; }
  // The tokens are what was given out, no more: no stop string, no call that
  // was cut off, no thought that is still open.
  bool complete() const {
    return finished_ && (!stopped_ || ends_at_call_) && !machine_.thinking();
  }
  // Sampled ones that stay; the end token is none of them.
  std::vector<int32_t> answer() const;
  int tokens() const { return static_cast<int>(answer_.size()) + end_tokens_; }
  int reasoning_tokens() const;
  int calls() const { return calls_; }  // given out
  // The last detour was for a malformed call.
  bool redecoding() const { return !options_.strict_calls || attempts_ > 1; }
  // An end token was sampled: it counts, but has no text.
  void count_end_token() { end_tokens_ = 1; }

 private:
  struct Pending {
    size_t end = 0;  // of the token's text, in bytes of all text so far
    chat::TokenLogprob logprob;
  };
  struct Sampled {
    int32_t id = 0;
    size_t end = 0;        // as in Pending
    bool thought = false;  // gave text of reasoning
    bool inside = false;   // came while reasoning was open
  };

  void read(const EngineToken& token, std::vector<chat::Event>& out);
  bool leave(
      const std::vector<FormatEvent>& events,
      size_t held_from,
      std::vector<chat::Event>& out);
  bool take_back(Detour::Kind kind, size_t at, std::vector<chat::Event>& out);
  bool is_looped(const FormatCall& call) const;
  void watch_budget();
  void take(std::vector<FormatEvent>& events, std::vector<chat::Event>& out);
  void take_call(FormatCall& call, std::vector<chat::Event>& out);
  void content(const std::string& text, std::vector<chat::Event>& out);
  void delta(
      chat::Delta::Kind kind, std::string text, std::vector<chat::Event>& out);
  void release_content(std::vector<chat::Event>& out);
  void attach(size_t until, size_t first, std::vector<chat::Event>& out);
  void finish(FinishCause cause, size_t first, std::vector<chat::Event>& out);

  std::shared_ptr<const TextModel> model_;
  ChoiceOptions options_;
  std::unique_ptr<TextStream> stream_;
  RewindableMachine machine_;
  TagScanner stops_;
  RepeatDetector repeats_;
  std::vector<Sampled> answer_;
  std::deque<Pending> pending_;
  bool stopped_ = false;
  std::string stop_;  // the string that did it
  bool finished_ = false;
  bool last_is_call_ = false;
  bool ends_at_call_ = false;  // the only one, and its last token's last byte
  int calls_ = 0;
  int end_tokens_ = 0;
  int thought_tokens_ = 0;  // inside of reasoning, its tags included

  std::optional<Detour> detour_;
  size_t left_at_ = 0;  // the byte of the last detour,
  int attempts_ = 0;    // how often it began there,
  int detours_ = 0;     // and how many there were
  int redecoded_ = 0;
  int closes_ = 0;
  std::vector<EngineToken> forgotten_;
  std::optional<FinishCause> forgotten_end_;
};

}  // namespace rapid
