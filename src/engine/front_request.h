// A request on its way through the front: its prompts, its choices, and the
// engine's requests that work for it.
//
// One prompt is one request of the engine, until a choice takes a Detour: then
// that choice has a request of its own, which goes on from what it keeps.
// Events name the attempt they belong to; those of an earlier one are stale.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "engine/chat_prompt.h"
#include "engine/choice_text.h"
#include "engine/constraint.h"
#include "engine/front.h"
#include "engine/prompt_log.h"

namespace rapid {

struct FrontChoice {
  ChoiceText text;
  int number = 0;           // among its part's
  RequestId request = 0;    // of the engine, that runs it now
  int attempt = 0;          // detours taken; 0 = with its whole part
  bool restricted = false;  // by a strict call's grammar, which may fail
  LedgerTurn given;         // what the client got
  bool thought = false;     // ... beside reasoning
  bool whole = false;       // the engine ended it, and the ledger may have it
};

struct FrontPart {
  EnginePrompt prompt;
  GenerateRequest base;  // without its prompt
  Constraint constraint;
  std::vector<FrontChoice> choices;
  EngineProgress progress;
};

// The mutex guards all of it and is held while the sink runs, so that cancel()
// returns only after the last call of the sink.
struct FrontRequest {
  Ticket ticket = 0;
  std::mutex mutex;
  bool closed = false;
  ChatSink sink;
  FormatInput input;  // `thinking` is the part's
  std::vector<FrontPart> parts;
  std::vector<RequestId> ids;  // all of the engine's, ended ones too
  int running = 0;             // how many of them have not ended
  bool echo = false;
  // Where its answer may be evaluated again (next_turn.h); else null.
  std::shared_ptr<const chat::Request> asked;
  chat::Usage usage;
  std::shared_ptr<LoggedPrompt> logged;  // null with several prompts
  std::vector<std::string> relaxed;      // of the constraint
};

PromptOptions prompt_options(
    const FrontOptions& options, const chat::Request& request);

// Validates, renders, tokenises; nothing is submitted yet.
Result<std::shared_ptr<FrontRequest>> make_front_request(
    const std::shared_ptr<const TextModel>& model,
    const EngineInfo& info,
    const FrontOptions& options,
    const chat::Request& request);

// What the engine is asked for the choice to go on behind `detour`. Tokens
// that the detour writes itself are given to the choice first; their events
// are appended.
GenerateRequest go_on(
    const TextModel& model,
    const FrontRequest& request,
    const FrontPart& part,
    FrontChoice& choice,
    const Detour& detour,
    std::vector<chat::Event>& out);

}  // namespace rapid
