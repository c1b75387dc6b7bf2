// From a chat::Request to the token ids that the engine gets, and the checks
// that belong to it. No threads, no engine.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "cache/turn_ledger.h"
#include "chat/request.h"
#include "engine/engine.h"
#include "engine/front.h"

namespace rapid {

struct EnginePrompt {
  std::vector<int32_t> ids;
  std::string text;  // as echo gives it back
  // Of a chat, for the ledger: its place in the conversation, and what the
  // answer stands behind ("": not known, so nothing can be recorded).
  TurnChain chain;
  std::string head;
  // Assistant turns that were tokenised anew, by their index.
  std::vector<int> retokenised;
  int spliced = 0;        // turns that were put in as they were generated
  PromptBorders borders;  // if asked for
};

struct PromptOptions {
  TurnLedger* ledger = nullptr;
  // Where the template drops the reasoning of an earlier turn, so do we. False:
  // turns stay as they were generated.
  bool template_history = false;
  bool borders = false;  // find them
};

// One prompt for a chat, else one for each of request.prompts. Text from
// messages and tools is never read as special tokens. tool_choice none leaves
// the tools out of the prompt. Turns that the ledger knows come as they were
// generated (turn_splice.h).
Result<std::vector<EnginePrompt>> build_prompts(
    const TextModel& model,
    const chat::Request& request,
    const PromptOptions& options = {});

// A message as the ledger compares it.
LedgerTurn ledger_turn(const chat::Message& message);

// Ranges and names that do not depend on the prompt.
Status check_request(const chat::Request& request, int32_t vocabulary);

// Request over generation_config over temperature 0.7 and top_p 0.9.
// `seed` stands in when the request has none.
SamplingOptions sampling_options(
    const chat::Sampling& request,
    const chat::Sampling& defaults,
    uint64_t seed);

}  // namespace rapid
