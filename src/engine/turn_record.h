// From what a client is given to what the ledger keeps of it. For the front;
// under the request's mutex.
#pragma once

#include <filesystem>
#include <memory>

#include "cache/turn_ledger.h"
#include "chat/event.h"
#include "engine/front_request.h"

namespace rapid {

// The ledger of this model's turns in `folder`; "": it ends with the process.
std::shared_ptr<TurnLedger> open_turn_ledger(
    const TextModel& model, const std::filesystem::path& folder);

// The engine ended `choice`: may its tokens stand for the turn in a prompt?
bool is_whole_turn(const FrontChoice& choice, const EngineChoiceEnd& event);

// Calls that were recovered from another way of writing (bare JSON, a missing
// tag) are better shown to the model in its own: a small one that reads its
// bare call again makes the same call again.
bool calls_as_usual(const TextModel& model, const ChoiceText& text);

// To be called with every event before the client gets it: when it comes back
// with the turn, the ledger has it.
void note_given(
    FrontRequest& request, const chat::Event& event, TurnLedger* ledger);

}  // namespace rapid
