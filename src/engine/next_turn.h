// What the next turn of a conversation is known to begin with.
//
// Where an answer goes back into the prompt as the template writes it, not as
// it was generated (calls_as_usual), its tokens in the next prompt are new.
// They are known as soon as the answer is: while the client runs its tools
// they can be evaluated, so that only the tools' results are left to do.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "engine/front_request.h"

namespace rapid {

// An answered request, and what is needed to go on from it.
struct AnsweredTurn {
  std::shared_ptr<const chat::Request> asked;
  LedgerTurn given;
  EnginePrompt prompt;  // that it was the answer to
};

struct NextTurn {
  GenerateRequest request;  // evaluates its beginning; no tokens are wanted
  // The answer as it stands there, without what ends it: for the ledger, so
  // that it stays so however a client sends it back. Empty: not known.
  std::vector<int32_t> answer;
};

// Of a chat's only choice, when its answer's calls will stand otherwise in the
// next prompt; else none.
std::optional<AnsweredTurn> turn_to_rewrite(const FrontRequest& request);

// The conversation up to the results of the answer's calls. None where that
// place is not known, or behind `context`. Renders and tokenises it all.
std::optional<NextTurn> begin_next_turn(
    const TextModel& model,
    const AnsweredTurn& turn,
    PromptOptions options,
    int context);

}  // namespace rapid
