// A chat::Request as readable JSON: for recordings, and to know the same
// question when it comes again. One way only.
#pragma once

#include <string>

#include "base/json.h"
#include "chat/request.h"

namespace rapid {

Json request_json(const chat::Request& request);

// A hash, equal for requests that must have the same answer: without their id,
// lane and what they want of the cache.
std::string question_key(const chat::Request& request);

// The same of what was said alone: messages or prompts.
std::string conversation_key(const chat::Request& request);

}  // namespace rapid
