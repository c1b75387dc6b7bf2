// Ids of calls in a history, and the results that refer to them. Pure; for
// history.cpp.
#pragma once

#include <vector>

#include "chat/message.h"
#include "engine/template_support.h"

namespace rapid {

// Missing ids: nine letters and digits, a function of the place.
void fill_ids(std::vector<chat::Message>& messages);

// A result keeps its place by the id; without one it takes the first
// unanswered call of its name, else the first unanswered.
void match_results(std::vector<chat::Message>& messages);

// Results right behind their calls in the order of the calls: a template that
// prints no ids leaves the order as the only link.
void sort_results(std::vector<chat::Message>& messages);

// functions.NAME:NUMBER, counted as `ids` says (not as_sent). A result takes
// the id of the nearest call in front of it that had its id, of two in one
// message that without a result.
std::vector<chat::Message> numbered_calls(
    std::vector<chat::Message> messages, CallIds ids);

}  // namespace rapid
