// One choice's way from tokens to events: streaming decode, output format,
// stop strings, logprobs. No threads; one per choice.
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
#include <string>
#include <vector>

#include "chat/event.h"
#include "engine/engine.h"
#include "engine/front.h"
#include "engine/loop_guard.h"
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
  // The engine ended the choice. Appends the rest and Finished.
  void end(FinishCause cause, std::vector<chat::Event>& out);

  bool finished() const { return finished_; }
  int tokens() const { return tokens_; }
  int reasoning_tokens() const { return reasoning_tokens_; }
  // An end token was sampled: it counts, but has no text.
  void count_end_token() { ++tokens_; }

 private:
  struct Pending {
    size_t end = 0;  // of the token's text, in bytes of all text so far
    chat::TokenLogprob logprob;
  };

  void read(const EngineToken& token, std::vector<chat::Event>& out);
  void take(std::vector<FormatEvent>& events, std::vector<chat::Event>& out);
  void content(const std::string& text, std::vector<chat::Event>& out);
  void delta(
      chat::Delta::Kind kind, std::string text, std::vector<chat::Event>& out);
  void release_content(std::vector<chat::Event>& out);
  void attach(size_t until, size_t first, std::vector<chat::Event>& out);
  void finish(FinishCause cause, size_t first, std::vector<chat::Event>& out);

  std::shared_ptr<const TextModel> model_;
  ChoiceOptions options_;
  std::unique_ptr<TextStream> stream_;
  std::unique_ptr<FormatMachine> machine_;
  TagScanner stops_;
  RepeatDetector repeats_;
  std::deque<Pending> pending_;
  size_t fed_ = 0;  // bytes given to the machine
  bool stopped_ = false;
  bool finished_ = false;
  bool last_is_call_ = false;
  int calls_ = 0;
  int tokens_ = 0;
  int reasoning_tokens_ = 0;
};

}  // namespace rapid
