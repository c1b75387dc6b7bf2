// A model that is its recordings: an Engine that gives recorded tokens, and
// the text side that turns them into text, both without weights or tokenizer.
// Everything between them and the client is the real thing, so a fixed parser
// shows in a replay.
//
// A request says which recording it wants: its number is its lane, and its
// prompt is recorded_prompt(number).
//
//   auto model = replay_model(shelf);
//   Front front(replay_engine(shelf), model, {.redecode = true});
#pragma once

#include <memory>
#include <string>

#include "engine/front.h"
#include "engine/replay_shelf.h"

namespace rapid {

// Makes `request` the one for this recording: prompt, lane, seed, n.
void ask_for(const Recording& recording, int number, chat::Request& request);

// Of the recordings' model: the last one's.
std::shared_ptr<const TextModel> replay_model(
    std::shared_ptr<const ReplayShelf> shelf);

// Answers on a thread of its own, as fast as it can; choices take turns.
std::shared_ptr<Engine> replay_engine(std::shared_ptr<const ReplayShelf> shelf);

}  // namespace rapid
