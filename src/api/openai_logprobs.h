// Log probabilities of generated tokens, as chats and responses list them.
#pragma once

#include <vector>

#include "base/json.h"
#include "chat/event.h"

namespace rapid {

// [{"token", "logprob", "bytes", "top_logprobs": [{...}]}]
Json openai_logprob_entries(const std::vector<chat::TokenLogprob>& tokens);

}  // namespace rapid
